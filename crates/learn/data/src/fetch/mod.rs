//! Downloading data sets (feature `fetch`), and checking what is there.
//!
//! `fetch` works in `.offramp-fetch` under the data folder: the archive is downloaded
//! there (resuming what an earlier attempt left), compared with the checksum of the manifest,
//! unpacked into a temporary folder, and the finished folder renamed to its place. The data set's
//! folder therefore either is not there or is complete, whenever the program may be killed.

mod checksum;
#[cfg(feature = "fetch")]
mod download;
mod info;
#[cfg(feature = "fetch")]
mod install;
mod place;
#[cfg(feature = "fetch")]
mod space;
#[cfg(feature = "fetch")]
mod unpack;
mod verify;

pub use info::{Info, info};
#[cfg(feature = "fetch")]
pub use install::{FetchOptions, Progress, fetch, fetch_entry};
pub use verify::{Check, Outcome, Report, verify};
