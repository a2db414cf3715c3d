//! Writing files so that a reader never sees half of one, and checksums.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::temporary::{Readers, Temporary, remove_stale};

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
/// folder, flushed to the disk, then renamed over `path`. What a killed writer
/// left in the folder is removed. The file's owner alone can read it.
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
    write_for(Readers::Owner, path, write)
}

/// As [`write_atomic`], for a file that is made to be shown, such as a report: others can read it as they
/// can other new files of its owner.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_readable(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_for(Readers::Others, path, |file| file.write_all(bytes))
}

fn write_for(
    readers: Readers,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let attempt = || -> io::Result<()> {
        let folder = folder_of(path);
        remove_stale(folder);
        let mut temporary = Temporary::file_in(folder, readers)?;
        let file = temporary.file()?;
        write(file)?;
        file.sync_all()?;
        temporary.rename(path)?;
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
    let parent = folder_of(path);
    std::fs::create_dir_all(parent).map_err(failed)?;
    remove_stale(parent);
    let temporary = Temporary::folder_in(parent).map_err(failed)?;
    let filled = fill(temporary.path())?;
    // Not every system renames over an empty folder.
    if path.is_dir() {
        std::fs::remove_dir(path).map_err(failed)?;
    }
    temporary.rename(path).map_err(failed)?;
    sync_folder(parent);
    Ok(filled)
}

/// Makes a folder with its parents.
///
/// # Errors
/// [`FileError::Write`] with the path.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(path).map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
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
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

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
    fn the_next_writer_removes_what_a_killed_one_left() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".offramp-4000000-0.tmp");
        let age = || {
            let long_ago = SystemTime::now() - Duration::from_secs(7200);
            File::open(&left).unwrap().set_modified(long_ago).unwrap();
        };
        std::fs::write(&left, b"half").unwrap();
        age();
        write_atomic(&folder.path().join("state"), b"new").unwrap();
        assert!(!left.exists());
        std::fs::create_dir(&left).unwrap();
        age();
        write_folder_atomic(&folder.path().join("a"), |_| Ok::<_, FileError>(())).unwrap();
        assert!(!left.exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_run_is_its_owners_and_a_report_is_everybodys() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        write_atomic(&path, b"1").unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::write(folder.path().join("other"), b"1").unwrap();
        let other = folder.path().join("other").metadata().unwrap();
        write_atomic_readable(&path, b"1").unwrap();
        assert_eq!(mode(), other.permissions().mode() & 0o777);
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
