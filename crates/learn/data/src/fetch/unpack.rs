//! Archives into a folder, and nothing outside it.
//!
//! An archive is treated as hostile although its checksum was right: only files and folders come
//! out of it (no links, no devices), their names stay below the folder, a name may come once, and
//! the whole may not grow beyond a limit. Owners and permissions are left behind.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use super::space::megabytes;
use crate::error::DataError;
use crate::registry::Archive;

/// Charged for each entry, so that a list of empty files is limited too: a tar header.
const ENTRY_BYTES: u64 = 512;

/// Unpacks `archive` into the existing, empty folder `into`, at most `limit` bytes. `progress`
/// receives the number of bytes written so far.
///
/// # Errors
/// [`DataError::Archive`] for a damaged or unsafe archive; `into` is then half filled.
pub(super) fn unpack(
    archive: &Path,
    kind: Archive,
    into: &Path,
    limit: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    let file = File::open(archive).map_err(|e| DataError::io("read", archive, e))?;
    let mut target = Target {
        archive,
        into,
        limit,
        written: 0,
        progress,
    };
    let reader = BufReader::with_capacity(1 << 18, file);
    match kind {
        Archive::TarGz => untar(reader, &mut target),
        Archive::Zip => unzip(reader, &mut target),
    }
}

fn untar(reader: BufReader<File>, target: &mut Target<'_>) -> Result<(), DataError> {
    let mut tar = tar::Archive::new(GzDecoder::new(reader));
    let entries = tar.entries().map_err(|e| target.damaged(e))?;
    for entry in entries {
        let mut entry = entry.map_err(|e| target.damaged(e))?;
        let name = entry.path().map_err(|e| target.damaged(e))?.into_owned();
        match entry.header().entry_type() {
            tar::EntryType::Directory => target.folder(&name)?,
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let size = entry.size();
                target.file(&name, size, &mut entry)?;
            }
            // Attributes of what follows, not a file.
            tar::EntryType::XGlobalHeader => {}
            _ => return Err(target.link(&name)),
        }
    }
    // The tar ends before the gzip does; only the end of the gzip holds its checksum.
    let mut rest = tar.into_inner().take(target.limit);
    io::copy(&mut rest, &mut io::sink()).map_err(|e| target.damaged(e))?;
    Ok(())
}

fn unzip(reader: BufReader<File>, target: &mut Target<'_>) -> Result<(), DataError> {
    let mut zip = zip::ZipArchive::new(reader).map_err(|e| target.damaged(e))?;
    for number in 0..zip.len() {
        let mut entry = zip.by_index(number).map_err(|e| target.damaged(e))?;
        let name = entry.name().map_err(|e| target.damaged(e))?;
        let name = PathBuf::from(name.as_ref());
        if entry.is_symlink() {
            return Err(target.link(&name));
        }
        if entry.is_dir() {
            target.folder(&name)?;
        } else {
            let size = entry.size();
            target.file(&name, size, &mut entry)?;
        }
    }
    Ok(())
}

/// Where entries go, and how much has gone there.
struct Target<'a> {
    archive: &'a Path,
    into: &'a Path,
    limit: u64,
    written: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Target<'_> {
    fn folder(&mut self, name: &Path) -> Result<(), DataError> {
        let path = self.place(name)?;
        self.charge(ENTRY_BYTES)?;
        std::fs::create_dir_all(&path).map_err(|e| DataError::io("create", &path, e))
    }

    fn file(&mut self, name: &Path, size: u64, content: &mut dyn Read) -> Result<(), DataError> {
        let path = self.place(name)?;
        self.charge(ENTRY_BYTES)?;
        let parent = path.parent().unwrap_or(self.into);
        std::fs::create_dir_all(parent).map_err(|e| DataError::io("create", parent, e))?;
        let file = match File::create_new(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.damaged(format!("it holds `{}` twice", name.display())));
            }
            file => file.map_err(|e| DataError::io("create", &path, e))?,
        };
        let mut file = BufWriter::with_capacity(1 << 16, file);
        let mut block = vec![0; 1 << 16];
        let mut copied = 0;
        loop {
            match content.read(&mut block).map_err(|e| self.damaged(e))? {
                0 => break,
                n => {
                    self.charge(n as u64)?;
                    copied += n as u64;
                    file.write_all(&block[..n])
                        .map_err(|e| DataError::io("write", &path, e))?;
                }
            }
        }
        if copied != size {
            let name = name.display();
            return Err(self.damaged(format!("`{name}` has {copied} bytes of {size}")));
        }
        file.flush().map_err(|e| DataError::io("write", &path, e))
    }

    /// The path of an entry below the folder.
    fn place(&self, name: &Path) -> Result<PathBuf, DataError> {
        let mut path = self.into.to_owned();
        for part in name.components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                _ => {
                    let name = name.display();
                    return Err(self.damaged(format!("`{name}` would lie outside the folder")));
                }
            }
        }
        Ok(path)
    }

    fn charge(&mut self, bytes: u64) -> Result<(), DataError> {
        self.written = self.written.saturating_add(bytes);
        if self.written > self.limit {
            let limit = megabytes(self.limit);
            return Err(self.damaged(format!("it unpacks to more than {limit}")));
        }
        (self.progress)(self.written);
        Ok(())
    }

    fn link(&self, name: &Path) -> DataError {
        self.damaged(format!(
            "`{}` is neither a file nor a folder",
            name.display()
        ))
    }

    fn damaged(&self, reason: impl ToString) -> DataError {
        DataError::Archive {
            path: self.archive.to_owned(),
            reason: reason.to_string(),
        }
    }
}
