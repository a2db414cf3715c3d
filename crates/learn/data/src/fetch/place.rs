//! Where unfinished downloads lie.

use std::path::{Path, PathBuf};

use crate::registry::{DatasetEntry, Download};

/// Unfinished work lies here, under the data folder: on the same disk as the result, so that
/// renaming it is one step, and under a name that no data set has.
const WORK: &str = ".offramp-fetch";

/// Where the parts of one download lie.
pub(super) struct Place {
    pub work: PathBuf,
    pub name: String,
    sum: String,
}

impl Place {
    pub(super) fn new(entry: &DatasetEntry, download: &Download, root: &Path) -> Self {
        let sum = download
            .checksum
            .chars()
            .filter(char::is_ascii_alphanumeric);
        Self {
            work: root.join(WORK),
            name: entry.name.clone(),
            sum: sum.take(16).collect(),
        }
    }

    /// The download as far as it got. Its checksum is part of its name, so that a file another
    /// version of the manifest began is not continued.
    pub(super) fn part(&self) -> PathBuf {
        self.work.join(format!("{}-{}.part", self.name, self.sum))
    }
}
