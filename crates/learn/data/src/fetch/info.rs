//! Description of a data set, and whether it is installed.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::place::Place;
use crate::error::DataError;
use crate::open::find_folder;
use crate::registry::{DatasetEntry, find};

/// Description of a data set, and whether it is installed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// Its name in recipes.
    pub name: String,
    /// One line of description.
    pub about: String,
    /// Number of classes; `None` where only the files tell.
    pub classes: Option<usize>,
    /// Side of the images in pixels.
    pub size: usize,
    /// Training images of the complete set.
    pub train: Option<usize>,
    /// Test images of the complete set.
    pub test: Option<usize>,
    /// The licence.
    pub licence: String,
    /// Authors and source.
    pub citation: String,
    /// Further remarks.
    pub note: String,
    /// Where it can be downloaded.
    pub url: Option<String>,
    /// The checksum of the download.
    pub checksum: Option<String>,
    /// Whether it is drawn by the program and needs no files.
    pub drawn: bool,
    /// The folder it was found in; `None` if it is not there.
    pub folder: Option<PathBuf>,
    /// Bytes of an unfinished download.
    pub downloaded_bytes: Option<u64>,
}

/// The description of the data set `name`, and whether it is under `root`.
///
/// # Errors
/// [`DataError::UnknownDataset`].
pub fn info(name: &str, root: &Path) -> Result<Info, DataError> {
    Ok(info_of(find(name)?, root))
}

fn info_of(entry: &DatasetEntry, root: &Path) -> Info {
    let classes = Some(entry.classes.len()).filter(|&n| n > 0);
    let download = entry.download.as_ref();
    let part = download.and_then(|download| {
        let stat = Place::new(entry, download, root).part().metadata().ok()?;
        stat.is_file().then_some(stat.len())
    });
    Info {
        name: entry.name.clone(),
        about: entry.about.clone(),
        classes,
        size: entry.size,
        train: entry.train,
        test: entry.test,
        licence: entry.licence.clone(),
        citation: entry.citation.clone(),
        note: entry.note.clone(),
        url: download.map(|d| d.url.clone()),
        checksum: download.map(|d| d.checksum.clone()),
        drawn: entry.folders.is_empty(),
        folder: find_folder(entry, None, Some(root)).ok(),
        downloaded_bytes: part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let before = info("cifar-100", root.path()).unwrap();
        assert_eq!(
            (before.folder, before.classes, before.drawn),
            (None, Some(100), false)
        );
        assert!(before.url.unwrap().ends_with("cifar-100-binary.tar.gz"));
        let folder = root.path().join("cifar-100-binary");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(info("cifar-100", root.path()).unwrap().folder, Some(folder));
        assert!(info("generated", root.path()).unwrap().drawn);
        assert!(info("cifar-101", root.path()).is_err());
    }
}
