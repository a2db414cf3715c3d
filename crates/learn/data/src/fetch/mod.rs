//! Downloading data sets, and checking what is there.
//!
//! [`fetch`](fetch()) works in `.offramp-fetch` under the data folder: the archive is downloaded
//! there (resuming what an earlier attempt left), compared with the checksum of the manifest,
//! unpacked into a temporary folder, and the finished folder renamed to its place. The data set's
//! folder therefore either is not there or is complete, whenever the program may be killed.

mod checksum;
mod download;
mod info;
mod install;
mod space;
mod unpack;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use info::{Info, info};
pub use install::fetch_entry;
pub use verify::{Check, Outcome, Report, verify};

use crate::error::DataError;
use crate::registry::find;

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
