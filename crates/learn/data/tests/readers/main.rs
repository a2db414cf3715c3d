//! The readers, on files made here and, where `OFFRAMP_DATA` names them, on real ones.

mod cifar;
mod folder;
mod real;
mod tiny_imagenet;

use std::path::Path;

use offramp_data::{DataConfig, DataError, OnError, Splits, open};

fn config(dataset: &str) -> DataConfig {
    DataConfig {
        dataset: dataset.into(),
        val_fraction: 0.0,
        cache: false,
        ..DataConfig::default()
    }
}

fn read(dataset: &str, root: &Path) -> Result<Splits, DataError> {
    open(&config(dataset), Some(root))
}

fn read_skipping(dataset: &str, root: &Path) -> Result<Splits, DataError> {
    let config = DataConfig {
        on_error: OnError::Skip,
        ..config(dataset)
    };
    open(&config, Some(root))
}

/// The message of a reading that must fail; it has to hold all `parts`.
fn assert_fails(result: Result<Splits, DataError>, parts: &[&str]) {
    let message = result.map(|splits| splits.info).unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
