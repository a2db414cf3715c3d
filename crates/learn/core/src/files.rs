//! Writing files so that a reader never sees half of one, and checksums.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// A file that could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// Reading failed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed; what was there before is untouched.
    #[error("cannot write {}: {source}; what was there before is untouched", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes `bytes` to `path` all at once: to a temporary file in the same
/// folder, flushed to the disk, then renamed over `path`.
///
/// # Errors
/// [`FileError::Write`] when the folder cannot be written or the disk is full;
/// `path` is then what it was before.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomic`], with the contents written by `write`.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let attempt = || -> io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut temporary = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(folder)?;
        write(temporary.as_file_mut())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        sync_folder(folder);
        Ok(())
    };
    attempt().map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Makes the folder `path` all at once: `fill` writes into a temporary folder beside it, which then
/// takes the name. Missing parents are made; an empty folder of that name is replaced.
///
/// # Errors
/// Those of `fill`, and [`FileError::Write`] when the folder cannot be written or there is one that
/// is not empty; `path` is then what it was before.
pub fn write_folder_atomic<T, E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(failed)?;
    let temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempdir_in(parent)
        .map_err(failed)?;
    let filled = fill(temporary.path())?;
    // Not every system renames over an empty folder.
    if path.is_dir() {
        std::fs::remove_dir(path).map_err(failed)?;
    }
    std::fs::rename(temporary.path(), path).map_err(failed)?;
    // It has another name now, under which it stays.
    let _ = temporary.keep();
    sync_folder(parent);
    Ok(filled)
}

/// Makes a rename durable where the system knows how to; elsewhere it is best effort.
fn sync_folder(folder: &Path) {
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`FileError::Read`] with the path.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads a whole text file.
///
/// # Errors
/// [`FileError::Read`] with the path, also when the text is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })
}

/// SHA-256 of some bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of a file, read in pieces.
///
/// # Errors
/// [`FileError::Read`] with the path.
pub fn sha256_file(path: &Path) -> Result<String, FileError> {
    let attempt = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hexadecimal(&hasher.finalize())),
                n => hasher.update(&buffer[..n]),
            }
        }
    };
    attempt().map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/run");
        let full = || FileError::Write {
            path: "x".into(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let half = |folder: &Path| {
            write_atomic(&folder.join("first"), b"1")?;
            Err::<(), FileError>(full())
        };
        write_folder_atomic(&path, half).unwrap_err();
        assert!(!path.exists());
        let left = std::fs::read_dir(parent.path().join("a")).unwrap().count();
        assert_eq!(left, 0, "the temporary folder is removed");

        let whole = |folder: &Path| write_atomic(&folder.join("first"), b"1");
        std::fs::create_dir(&path).unwrap();
        write_folder_atomic(&path, whole).unwrap();
        assert_eq!(read(&path.join("first")).unwrap(), b"1");
        write_folder_atomic(&path, half).unwrap_err();
        let error = write_folder_atomic(&path, whole).unwrap_err().to_string();
        assert!(error.contains("run"), "{error}");
        assert_eq!(read(&path.join("first")).unwrap(), b"1");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_atomic(&path, b"old").unwrap();
        let error = write_atomic_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.to_string().contains("state"), "{error}");
        assert_eq!(read(&path).unwrap(), b"old");
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "the temporary file is removed");
    }
}
