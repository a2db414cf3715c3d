//! What all documents of a run folder have in common: reading with checks, versions, errors, writing.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::files::{self, FileError};

/// A JSON document of a run folder.
///
/// ```
/// use offramp_run::{Document, Latency};
///
/// let text = r#"{"hardware": "a machine", "exits_ms": [1.5, -2.0]}"#;
/// let error = Latency::parse(text, "run/latency.json".as_ref()).unwrap_err().to_string();
/// assert!(error.starts_with("run/latency.json: `exits_ms[1]` is -2.0: "), "{error}");
/// ```
pub trait Document: Serialize + DeserializeOwned {
    /// Name of the file in a run folder.
    const FILE: &'static str;
    /// What messages call it.
    const NAME: &'static str;
    /// Version that is written.
    const FORMAT: u32;
    /// Oldest version that is read.
    const OLDEST: u32 = Self::FORMAT;
    /// The keys that must hold the version, the one that is written first. None for a document whose files
    /// had no version at first: a file of it without `format` is of version 1.
    const FORMAT_KEYS: &'static [&'static str] = &[];
    /// What to do about a file that cannot be used.
    const REMEDY: &'static str;

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be.
    fn check(&self) -> Result<(), Fault>;

    /// Reads the document in the text of the file `path`.
    ///
    /// # Errors
    /// [`DocumentError`] that names file, key and value.
    fn parse(text: &str, path: &Path) -> Result<Self, DocumentError> {
        let document = Self::decode(text, path)?;
        let checked = document.check();
        checked.map_err(|fault| faulty::<Self>(path, fault).spelled_as_in(text))?;
        Ok(document)
    }

    /// As [`parse`](Self::parse), with version and types checked and values not yet.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    fn decode(text: &str, path: &Path) -> Result<Self, DocumentError> {
        let invalid = |key: String, value: String, reason: String| DocumentError::Invalid {
            path: path.to_owned(),
            name: Self::NAME,
            key: key.into(),
            value: value.into(),
            reason: reason.into(),
            remedy: Self::REMEDY,
        };
        let mut value: Value = serde_json::from_str(text)
            .map_err(|error| invalid(String::new(), String::new(), error.to_string()))?;
        let is_read = |found: &Value| {
            let known = u64::from(Self::OLDEST)..=u64::from(Self::FORMAT);
            found.as_u64().is_some_and(|found| known.contains(&found))
        };
        let said = Self::FORMAT_KEYS.last().copied().unwrap_or("format");
        let first = Self::FORMAT_KEYS.first().copied();
        match (take_format(&mut value, Self::FORMAT_KEYS), first) {
            (Some(found), _) if is_read(&found) => {}
            (Some(found), _) => {
                return Err(DocumentError::Format {
                    path: path.to_owned(),
                    key: said.replace('_', " "),
                    oldest: Self::OLDEST,
                    found: found.to_string(),
                    expected: Self::FORMAT,
                    remedy: Self::REMEDY,
                });
            }
            // What is no document at all is said to be none below; anything else has a version.
            (None, Some(key)) if value.is_object() => {
                let reason = "the version is missing".to_owned();
                return Err(invalid(key.to_owned(), String::new(), reason));
            }
            (None, _) => {}
        }
        serde_path_to_error::deserialize(&value).map_err(|error| {
            let key = error.path().to_string();
            // serde says `.` for the document itself.
            let key = if key == "." { String::new() } else { key };
            let shown = at(&value, &key).map(short).unwrap_or_default();
            invalid(key, shown, error.into_inner().to_string())
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`DocumentError::Read`].
    fn read(path: &Path) -> Result<Self, DocumentError> {
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&text(bytes), path),
            Err(source) => Err(DocumentError::Read {
                name: Self::NAME,
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the document of a run folder; nothing when there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn find(run: &Path) -> Result<Option<Self>, DocumentError> {
        match Self::read(&run.join(Self::FILE)) {
            Err(DocumentError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`DocumentError::Unwritable`] for what JSON cannot hold.
    fn to_text(&self) -> Result<String, DocumentError> {
        let text = serde_json::to_string_pretty(self);
        text.map_err(|error| DocumentError::Unwritable {
            name: Self::NAME,
            reason: error.to_string(),
        })
    }

    /// Writes a file, all at once.
    ///
    /// # Errors
    /// [`DocumentError::Write`]; what was there before is then untouched.
    fn write(&self, path: &Path) -> Result<(), DocumentError> {
        match files::write_atomic(path, self.to_text()?.as_bytes()) {
            Ok(()) => Ok(()),
            Err(FileError::Write { source, .. } | FileError::Read { source, .. }) => {
                Err(DocumentError::Write {
                    name: Self::NAME,
                    path: path.to_owned(),
                    source,
                })
            }
        }
    }

    /// Writes the document of a run folder.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_to(&self, run: &Path) -> Result<(), DocumentError> {
        self.write(&run.join(Self::FILE))
    }
}

/// A value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{key}` is {value}: {rule}")]
pub struct Fault {
    /// Path of the key, such as `classes[3]`.
    pub key: String,
    /// The value, as JSON.
    pub value: String,
    /// Why it cannot be.
    pub rule: String,
}

impl Fault {
    /// A value that breaks a rule.
    pub fn new(key: impl Into<String>, value: impl Display, rule: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            rule: rule.into(),
        }
    }

    /// The same fault below the key `parent`.
    #[must_use]
    pub fn below(mut self, parent: &str) -> Self {
        self.key = format!("{parent}.{}", self.key);
        self
    }
}

/// A document that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("cannot read the {name} {}: {source}", path.display())]
    Read {
        /// What the document is called.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the {name} {}: {source}; what was there before is untouched", path.display())]
    Write {
        /// What the document is called.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The document has no JSON form.
    #[error("the {name} cannot be written as JSON: {reason}")]
    Unwritable {
        /// What the document is called.
        name: &'static str,
        /// What the writer says.
        reason: String,
    },
    /// The file is no JSON, or a value has another type than it must have.
    #[error(
        "{} is not a valid {name}: {}{reason}; {remedy}",
        path.display(),
        place(key, value)
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the document is called.
        name: &'static str,
        /// Path of the key; empty for the whole file.
        key: Box<str>,
        /// The value there, shortened; empty where there is none.
        value: Box<str>,
        /// What is wrong.
        reason: Box<str>,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Another version.
    #[error(
        "{}: {key} {found}, this program reads {}; {remedy}",
        path.display(), versions(*oldest, *expected)
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The key that holds the version, in words.
        key: String,
        /// Version of the file.
        found: String,
        /// Oldest version that this program reads.
        oldest: u32,
        /// Version of this program.
        expected: u32,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A value that cannot be.
    #[error("{}: {fault}; {remedy}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Key, value and rule.
        fault: Fault,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A document of other weights.
    #[error(
        "{}: it was made for model {found:.12}, which has other weights: checksum {found}, but this model's is \
         {expected}; {remedy}",
        path.display()
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// Checksum of the weights that it was made for.
        found: String,
        /// Checksum of the weights at hand.
        expected: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

impl DocumentError {
    /// A value of the document in the file `path` that cannot be.
    pub fn value<D: Document>(path: &Path, fault: Fault) -> Self {
        faulty::<D>(path, fault)
    }

    /// The same error with the key as it stands in the text of the file: earlier versions of a document
    /// have underscores in place of hyphens.
    pub(crate) fn spelled_as_in(mut self, text: &str) -> Self {
        if let Self::Value { fault, .. } = &mut self
            && let Ok(file) = serde_json::from_str(text)
        {
            fault.key = spelled(&fault.key, &file);
        }
        self
    }

    /// The file, where one is named.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Invalid { path, .. }
            | Self::Format { path, .. }
            | Self::Value { path, .. }
            | Self::OtherModel { path, .. } => Some(path),
            Self::Unwritable { .. } => None,
        }
    }
}

/// Refuses a document of other weights than those with checksum `expected`.
pub(crate) fn same_model<D: Document>(
    path: &Path,
    found: &str,
    expected: &str,
) -> Result<(), DocumentError> {
    if found == expected {
        return Ok(());
    }
    Err(DocumentError::OtherModel {
        path: path.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
        remedy: D::REMEDY,
    })
}

/// A fault of the document in the file `path`.
pub(crate) fn faulty<D: Document>(path: &Path, fault: Fault) -> DocumentError {
    DocumentError::Value {
        path: path.to_owned(),
        fault,
        remedy: D::REMEDY,
    }
}

/// The text of a file; bytes that are no UTF-8 become characters that no JSON of ours holds.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The versions that are read, in words.
pub(crate) fn versions(oldest: u32, newest: u32) -> String {
    if oldest == newest {
        format!("version {newest}")
    } else {
        format!("versions up to {newest}")
    }
}

/// The version in a file. It stays in a document that must have a key for it, and is taken out of others.
fn take_format(value: &mut Value, keys: &[&str]) -> Option<Value> {
    if keys.is_empty() {
        return value.as_object_mut()?.remove("format");
    }
    keys.iter().find_map(|key| value.get(key)).cloned()
}

fn place(key: &str, value: &str) -> String {
    match (key.is_empty(), value.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!("`{key}`: "),
        (false, false) => format!("`{key}` is {value}: "),
    }
}

/// The value at a path such as `exits[2].top1`.
pub(crate) fn at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    if key.is_empty() {
        return None;
    }
    key.split(['.', '['])
        .filter(|part| !part.is_empty())
        .try_fold(value, |value, part| match part.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?),
            None => value.get(part),
        })
}

/// The key with underscores in place of hyphens wherever `file` has that one alone.
fn spelled(key: &str, file: &Value) -> String {
    let mut place = Some(file);
    let parts = key.split('.').map(|part| {
        let (name, index) = part.split_at(part.find('[').unwrap_or(part.len()));
        let old = name.replace('-', "_");
        let has = |name: &str| place.is_some_and(|place| place.get(name).is_some());
        let name = if !has(name) && has(&old) {
            old
        } else {
            name.to_owned()
        };
        let part = name + index;
        place = place.and_then(|place| at(place, &part));
        part
    });
    parts.collect::<Vec<_>>().join(".")
}

/// A value as JSON, long ones cut.
pub(crate) fn short(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The text of a large document: no spaces.
pub(crate) fn compact<D: Document>(document: &D) -> Result<String, DocumentError> {
    let text = serde_json::to_string(document);
    text.map_err(|error| DocumentError::Unwritable {
        name: D::NAME,
        reason: error.to_string(),
    })
}
