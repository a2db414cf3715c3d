//! Errors of reading and loading data, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate. Every message names the file or key, the offending value, and what to
/// do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was attempted: "read", "create" ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },

    /// The disk is full, or will be.
    #[error("not enough space for `{}`: {needed}{free}; free some, or choose another folder with --data", path.display())]
    NoSpace {
        /// The file or folder being written.
        path: PathBuf,
        /// How much is needed, in words; empty if unknown.
        needed: String,
        /// How much is left, in words; empty if unknown.
        free: String,
    },

    /// No data set has this name.
    #[error("there is no data set `{name}`{}; `offramp list datasets` shows them all", nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    UnknownDataset {
        /// The name that was asked for.
        name: String,
        /// The known name nearest to it, if one is near.
        nearest: Option<String>,
    },

    /// The folder of a data set was not found.
    #[error(
        "data set `{name}` was not found; looked for {}; {advice}",
        list(tried)
    )]
    NotFound {
        /// The data set.
        name: String,
        /// The folders that were tried, in order.
        tried: Vec<PathBuf>,
        /// How to get it.
        advice: String,
    },

    /// A setting has a value that is not allowed.
    #[error("`{key}` is {value}, but {rule}")]
    Config {
        /// The key as a recipe spells it.
        key: &'static str,
        /// The value found.
        value: String,
        /// What the value has to be.
        rule: String,
    },

    /// An image could not be decoded.
    #[error("cannot decode the image `{}`: {reason}; replace or remove it, or set `on-error = \"skip\"` in [data]", path.display())]
    Decode {
        /// The image; `<bytes>` when it came from memory.
        path: PathBuf,
        /// The decoder's message.
        reason: String,
    },

    /// Every image of a set, or of one class, was left out because none could be decoded.
    #[error("none of the {count} images under `{}` could be decoded; the first error: {first}", path.display())]
    NothingDecoded {
        /// The folder.
        path: PathBuf,
        /// How many were tried.
        count: usize,
        /// The first failure.
        first: Box<DataError>,
    },

    /// A CIFAR binary file is not a whole number of records.
    #[error("`{}` is {length} bytes long, which is not a whole number of {record}-byte records (a label of {label_bytes} byte(s) and 3072 of pixels); download it again, or read it as the data set it belongs to", path.display())]
    RecordLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// Bytes in one record.
        record: usize,
        /// How many of them are labels.
        label_bytes: usize,
    },

    /// A label is not the number of a class.
    #[error("`{}`: record {record} has label {label}, but there are {classes} classes (0 to {})", path.display(), classes.saturating_sub(1))]
    LabelRange {
        /// The file.
        path: PathBuf,
        /// The record, counted from 0.
        record: usize,
        /// The label found.
        label: i64,
        /// The number of classes.
        classes: usize,
    },

    /// A file that describes a data set is malformed.
    #[error("`{}`{}: {reason}", path.display(), line.map(|l| format!(" line {l}")).unwrap_or_default())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where there is one.
        line: Option<usize>,
        /// What is wrong and what was expected.
        reason: String,
    },

    /// A class folder holds no image.
    #[error("the class folder `{}` holds no image (png, jpg, jpeg, webp, bmp); add some, or remove the folder", path.display())]
    EmptyClass {
        /// The folder.
        path: PathBuf,
    },

    /// The classes of two splits differ.
    #[error("`{}` has the class folder `{class}`, which `{}` lacks; both must have the same classes", has.display(), lacks.display())]
    ClassFolders {
        /// The split that has the class.
        has: PathBuf,
        /// The split that does not.
        lacks: PathBuf,
        /// The class.
        class: String,
    },

    /// The recipe states another number of classes than the data have.
    #[error(
        "the recipe says `classes = {expected}`, but `{dataset}` has {found} classes; correct the recipe or the folder"
    )]
    ClassCount {
        /// The number in the recipe.
        expected: usize,
        /// The number in the data.
        found: usize,
        /// The data set.
        dataset: String,
    },

    /// A part of the data is empty where it must not be.
    #[error("{what} is empty; {advice}")]
    Empty {
        /// Which part.
        what: String,
        /// What to do.
        advice: String,
    },

    /// A thread of the loader ended without a result: a defect, or no memory.
    #[error("a loader thread ended before batch {batch}; run again with `workers = 0` to see why")]
    WorkerLost {
        /// The batch that was awaited.
        batch: usize,
    },

    /// A download failed.
    #[error(
        "cannot download {url}: {reason}; what has arrived is kept, so run the same command again to go on"
    )]
    Download {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },

    /// The data set cannot be downloaded.
    #[error("`{name}` has no download: {advice}")]
    NoDownload {
        /// The data set.
        name: String,
        /// How to get it.
        advice: String,
    },

    /// Another process is fetching the same data set.
    #[error("another process is fetching `{name}` (it holds `{}`); wait for it to end", path.display())]
    Busy {
        /// The data set.
        name: String,
        /// The lock file.
        path: PathBuf,
    },

    /// A downloaded file is not the one the manifest names.
    #[error("`{}` from {url} has {kind} {found}, but the manifest says {expected}; the file was removed, run the command again, and if it stays wrong the server's file has changed", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Where it came from.
        url: String,
        /// `md5` or `sha256`.
        kind: &'static str,
        /// What the manifest says, in hexadecimal.
        expected: String,
        /// What the file has.
        found: String,
    },

    /// An archive could not be unpacked.
    #[error("cannot unpack `{}`: {reason}; nothing was installed", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl DataError {
    /// Wraps an I/O error; a full disk becomes [`DataError::NoSpace`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace {
                path: path.to_owned(),
                needed: "the disk is full".into(),
                free: String::new(),
            },
            _ => Self::Io {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// A malformed file without a line number.
    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            line: None,
            reason: reason.into(),
        }
    }

    /// A malformed line, counted from 1.
    pub(crate) fn line(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            line: Some(line),
            reason: reason.into(),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let quoted: Vec<_> = paths.iter().map(|p| format!("`{}`", p.display())).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_file_the_value_and_the_remedy() {
        let error = DataError::RecordLength {
            path: "test.bin".into(),
            length: 3075,
            record: 3074,
            label_bytes: 2,
        };
        let text = error.to_string();
        for part in ["`test.bin`", "3075", "3074-byte", "download it again"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn a_full_disk_is_named_as_such() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let text = DataError::io("write", Path::new("/d/cache"), full).to_string();
        assert!(text.contains("not enough space for `/d/cache`"), "{text}");
    }
}
