//! Fetching a data set from a server that is not always friendly.

mod archives;
mod server;
mod state;
mod transfer;
mod unpacking;

use std::path::{Path, PathBuf};
use std::time::Duration;

use archives::{TOP, files};
use md5::{Digest, Md5};
use offramp_data::fetch::{FetchOptions, fetch_entry};
use offramp_data::{Archive, DataConfig, DataError, DatasetEntry, Download, find, open};

/// The manifest of CIFAR-100, pointed elsewhere.
fn entry(url: &str, served: &[u8], kind: Archive) -> DatasetEntry {
    let sum: String = Md5::digest(served)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let download = Download {
        url: url.into(),
        checksum: format!("md5:{sum}"),
        archive: kind,
        top: TOP.into(),
        unpacked_bytes: 1_000_000,
    };
    DatasetEntry {
        download: Some(download),
        file: Vec::new(),
        ..find("cifar-100").unwrap().clone()
    }
}

fn fetch(entry: &DatasetEntry, root: &Path, retries: u32) -> Result<PathBuf, DataError> {
    let pause = Duration::from_millis(1);
    fetch_entry(entry, root, &FetchOptions { retries, pause }, &mut |_| ())
}

/// Nothing under `root` may be taken for the data set.
fn assert_absent(root: &Path) {
    assert!(!root.join(TOP).exists());
    let config = DataConfig {
        dataset: "cifar-100".into(),
        ..DataConfig::default()
    };
    let error = open(&config, Some(root)).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
}

fn assert_whole(root: &Path) {
    for (name, bytes) in files() {
        assert!(std::fs::read(root.join(name)).unwrap() == bytes);
    }
    let left = std::fs::read_dir(root.join(".offramp-fetch")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        left,
        ["cifar-100.lock"],
        "the download and the temporary folder are gone"
    );
}
