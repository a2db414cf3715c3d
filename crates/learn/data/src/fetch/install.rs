//! From a manifest to a folder: download, check, unpack beside, rename.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checksum::Checksum;
use super::place::Place;
use super::{download, unpack};
use crate::error::DataError;
use crate::open::find_folder;
use crate::registry::{DatasetEntry, Download, find};

/// `unpacked-bytes` of a manifest is rounded; an archive may hold this many times as much.
const SLACK: u64 = 2;

/// Progress of a fetch. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The data set is there already; nothing was done.
    Present,
    /// The archive is arriving.
    Downloading {
        /// Bytes so far, those of earlier attempts included.
        done: u64,
        /// All bytes, if the server says how many.
        total: Option<u64>,
    },
    /// The connection broke; after a pause it is taken up again.
    Retrying {
        /// What happened.
        reason: String,
    },
    /// The archive is compared with its checksum.
    Checking {
        /// Bytes so far.
        done: u64,
        /// All bytes.
        total: u64,
    },
    /// The files are written.
    Unpacking {
        /// Bytes so far.
        done: u64,
        /// About how many there will be.
        total: u64,
    },
}

/// Retries of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// How many attempts in a row may bring no new byte before the fetch fails.
    pub retries: u32,
    /// The pause before the first such attempt; it doubles with each.
    pub pause: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            retries: 4,
            pause: Duration::from_secs(1),
        }
    }
}

/// Downloads the data set `name` into its usual folder under `root`, which is made if it is
/// missing, and returns that folder. A data set that is there is left as it is.
///
/// # Errors
/// [`DataError::UnknownDataset`], [`DataError::NoDownload`], [`DataError::Download`] (what has
/// arrived is kept and continued next time), [`DataError::Checksum`], [`DataError::Archive`],
/// [`DataError::NoSpace`], [`DataError::Busy`], [`DataError::Io`]. None of them leaves anything
/// that could be taken for the data set.
pub fn fetch(
    name: &str,
    root: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DataError> {
    fetch_entry(find(name)?, root, &FetchOptions::default(), progress)
}

impl Place {
    fn unpacking(&self) -> PathBuf {
        self.work.join(format!("{}.unpacking", self.name))
    }

    /// Held while this data set is fetched; the system lets go of it when the process ends, however
    /// that happens.
    fn lock(&self) -> Result<File, DataError> {
        std::fs::create_dir_all(&self.work).map_err(|e| DataError::io("create", &self.work, e))?;
        let path = self.work.join(format!("{}.lock", self.name));
        let file = File::create(&path).map_err(|e| DataError::io("create", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(DataError::Busy {
                name: self.name.clone(),
                path,
            }),
            // A file system without locks: two fetches at once are then up to the user.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(file),
            Err(TryLockError::Error(e)) => Err(DataError::io("lock", &path, e)),
        }
    }
}

/// Downloads the data set of a manifest into its folder under `root` and returns the folder; one
/// that is there already is left as it is.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_entry(
    entry: &DatasetEntry,
    root: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DataError> {
    let present = || find_folder(entry, None, Some(root)).ok();
    let Some(source) = &entry.download else {
        return Err(DataError::NoDownload {
            name: entry.name.clone(),
            advice: if entry.folders.is_empty() {
                "it is drawn by the program and needs no files".into()
            } else {
                entry.note.clone()
            },
        });
    };
    if let Some(folder) = present() {
        progress(Progress::Present);
        return Ok(folder);
    }
    let place = Place::new(entry, source, root);
    let _lock = place.lock()?;
    // Another process may have finished it in the meantime.
    if let Some(folder) = present() {
        progress(Progress::Present);
        return Ok(folder);
    }
    let part = place.part();
    download::download(&source.url, &part, source.unpacked_bytes, options, progress)?;
    check(source, &part, progress)?;
    let folder = install(source, &place, root, progress)?;
    std::fs::remove_file(&part).map_err(|e| DataError::io("remove", &part, e))?;
    Ok(folder)
}

/// Compares the download with the manifest and removes it if it is another file.
fn check(
    source: &Download,
    part: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DataError> {
    let expected = Checksum::parse(&source.checksum)?;
    let total = std::fs::metadata(part).map_or(0, |stat| stat.len());
    let found = expected.of_file(part, &mut |done| {
        progress(Progress::Checking { done, total })
    })?;
    if found == expected.hex {
        return Ok(());
    }
    std::fs::remove_file(part).map_err(|e| DataError::io("remove", part, e))?;
    Err(DataError::Checksum {
        path: part.to_owned(),
        url: source.url.clone(),
        kind: expected.kind,
        expected: expected.hex,
        found,
    })
}

/// Unpacks the download beside its place and moves it there in one step.
fn install(
    source: &Download,
    place: &Place,
    root: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DataError> {
    let (part, unpacking) = (place.part(), place.unpacking());
    // What an interrupted run left.
    remove_all(&unpacking)?;
    std::fs::create_dir_all(&unpacking).map_err(|e| DataError::io("create", &unpacking, e))?;
    let (limit, total) = (
        source.unpacked_bytes.saturating_mul(SLACK),
        source.unpacked_bytes,
    );
    let mut report = |done| progress(Progress::Unpacking { done, total });
    let unpacked = unpack::unpack(&part, source.archive, &unpacking, limit, &mut report)
        .and_then(|()| publish(source, &part, &unpacking, root));
    // A failure to clean up is found by the next fetch; the first error is the one to report.
    let _ = remove_all(&unpacking);
    if let Err(DataError::Archive { .. }) = unpacked {
        let _ = std::fs::remove_file(&part);
    }
    unpacked
}

fn publish(
    source: &Download,
    part: &Path,
    unpacking: &Path,
    root: &Path,
) -> Result<PathBuf, DataError> {
    let (from, to) = (unpacking.join(&source.top), root.join(&source.top));
    if !from.is_dir() {
        return Err(DataError::Archive {
            path: part.to_owned(),
            reason: format!("it holds no folder `{}`", source.top),
        });
    }
    std::fs::rename(&from, &to).map_err(|e| DataError::io("create", &to, e))?;
    Ok(to)
}

fn remove_all(folder: &Path) -> Result<(), DataError> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DataError::io("remove", folder, e)),
        _ => Ok(()),
    }
}
