//! Whether there is room on the disk.

use std::path::Path;

use crate::error::DataError;

/// Fails unless `bytes` more fit on the disk that holds `folder`.
///
/// A disk that does not tell how much is free is taken to have enough; a full one then shows when
/// it is written to.
pub(super) fn require(folder: &Path, bytes: u64) -> Result<(), DataError> {
    match fs4::available_space(folder) {
        Ok(free) if free < bytes => Err(DataError::NoSpace {
            path: folder.to_owned(),
            needed: format!("{} more are needed, ", megabytes(bytes)),
            free: format!("{} are free", megabytes(free)),
        }),
        _ => Ok(()),
    }
}

/// A size in the units of download pages: `163.0 MB`.
pub(super) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_said_in_words() {
        let folder = tempfile::tempdir().unwrap();
        require(folder.path(), 1).unwrap();
        let error = require(folder.path(), u64::MAX).unwrap_err().to_string();
        assert!(
            error.contains("not enough space") && error.contains("GB are free"),
            "{error}"
        );
    }

    #[test]
    fn sizes() {
        let words = [512, 163_000_000, 1_250_000_000].map(megabytes);
        assert_eq!(words, ["512 bytes", "163.0 MB", "1.2 GB"]);
    }
}
