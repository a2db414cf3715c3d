//! Verification of the files of a data set.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checksum::Checksum;
use crate::config::{DataConfig, OnError};
use crate::error::DataError;
use crate::open::{find_folder, read};
use crate::readers::Contents;
use crate::registry::{DatasetEntry, KnownFile, Reader, find};

/// What a check of a data set found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The data set.
    pub name: String,
    /// Its folder; `None` if it is drawn and has none.
    pub folder: Option<PathBuf>,
    /// Whether no check failed.
    pub ok: bool,
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub what: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As expected.
    Ok,
    /// Usable, but not what the complete data set has: a part of it, or another layout.
    Differs,
    /// Damaged.
    Failed,
}

/// Side that images are shrunk to when they are decoded only to see whether they can be.
const SMALL: usize = 8;
/// Damaged images that are named one by one.
const NAMED: usize = 20;

/// Checks the files of the data set `name` under `root`: known checksums, then every record and
/// image, and how many there are.
///
/// # Errors
/// [`DataError::UnknownDataset`] and [`DataError::NotFound`]. Damage is not an error but part of
/// the report.
pub fn verify(name: &str, root: &Path) -> Result<Report, DataError> {
    verify_entry(find(name)?, root)
}

/// [`verify`] for a manifest of one's own.
///
/// # Errors
/// As [`verify`].
fn verify_entry(entry: &DatasetEntry, root: &Path) -> Result<Report, DataError> {
    let mut checks = Vec::new();
    let mut folder = None;
    if entry.reader != Reader::Generated {
        let found = find_folder(entry, None, Some(root))?;
        for file in &entry.file {
            checks.push(known_file(&found, file)?);
        }
        checks.extend(readable(entry, &found));
        folder = Some(found);
    }
    Ok(Report {
        name: entry.name.clone(),
        folder,
        ok: checks.iter().all(|check| check.outcome != Outcome::Failed),
        checks,
    })
}

fn known_file(folder: &Path, file: &KnownFile) -> Result<Check, DataError> {
    let expected = Checksum::parse(&file.checksum)?;
    let path = folder.join(&file.path);
    let (outcome, found) = if !path.is_file() {
        (
            Outcome::Differs,
            "it is not there; another layout?".to_owned(),
        )
    } else {
        match expected.of_file(&path, &mut |_| ()) {
            Ok(found) if found == expected.hex => (Outcome::Ok, found),
            Ok(found) => (
                Outcome::Failed,
                format!("{found} instead of {}", expected.hex),
            ),
            Err(error) => (Outcome::Failed, error.to_string()),
        }
    };
    let what = format!("{} of {}", expected.kind, file.path);
    Ok(Check {
        what,
        outcome,
        found,
    })
}

/// Reads everything, without the cache: the files are in question, not what was made of them.
fn readable(entry: &DatasetEntry, folder: &Path) -> Vec<Check> {
    let decoded = matches!(entry.reader, Reader::TinyImagenet | Reader::Folder);
    let config = DataConfig {
        dataset: entry.name.clone(),
        image_size: decoded.then_some(SMALL),
        on_error: OnError::Skip,
        cache: false,
        ..DataConfig::default()
    };
    match read(&config, entry, folder) {
        Ok(contents) => counts(entry, &contents),
        Err(error) => vec![Check {
            what: "files".into(),
            outcome: Outcome::Failed,
            found: error.to_string(),
        }],
    }
}

fn counts(entry: &DatasetEntry, contents: &Contents) -> Vec<Check> {
    let mut checks = Vec::new();
    let splits = [
        ("training images", Some(&contents.train), entry.train),
        ("validation images", contents.val.as_ref(), None),
        ("test images", contents.test.as_ref(), entry.test),
    ];
    for (what, images, complete) in splits {
        let Some(images) = images else { continue };
        for skipped in images.skipped().iter().take(NAMED) {
            checks.push(Check {
                what: skipped.path.display().to_string(),
                outcome: Outcome::Failed,
                found: skipped.reason.clone(),
            });
        }
        let (all, bad) = (
            images.len() + images.skipped().len(),
            images.skipped().len(),
        );
        let (outcome, found) = match complete {
            _ if bad > 0 => (Outcome::Failed, format!("{bad} of {all} cannot be decoded")),
            Some(complete) if complete != all => (Outcome::Differs, format!("{all} of {complete}")),
            _ => (Outcome::Ok, all.to_string()),
        };
        checks.push(Check {
            what: what.into(),
            outcome,
            found,
        });
    }
    checks
}
