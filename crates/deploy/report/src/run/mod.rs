//! A run folder, read.

mod documents;
mod metrics;
mod recipe;
mod rows;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use offramp_policies::PolicyFile;
use serde::de::DeserializeOwned;

pub(crate) use documents::{Calibration, Card, Scores};
pub use documents::{Gallery, Latency, Picture};
pub(crate) use metrics::{Metrics, TrainPoint};
pub(crate) use recipe::Recipe;
pub use rows::{Answers, Rows};

use crate::ReportError;

/// A folder with none of these is no run.
pub(crate) const MARKS: [&str; 4] = ["recipe.toml", "metrics.jsonl", "model.json", "eval.json"];

/// Everything the report shows of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    pub(crate) recipe: Option<Recipe>,
    pub(crate) card: Option<Card>,
    pub(crate) metrics: Metrics,
    /// Of the test rows: `eval.json`, else the last line of the metrics.
    pub(crate) scores: Option<Scores>,
    pub(crate) policy: Option<PolicyFile>,
    pub(crate) calibration: Option<Calibration>,
    pub(crate) rows: Option<Rows>,
    pub(crate) latency: Option<Latency>,
    pub(crate) gallery: Option<Gallery>,
    /// The device named in `log.txt`.
    pub(crate) device: Option<String>,
    /// What is damaged.
    pub(crate) notes: Vec<String>,
}

impl Run {
    /// Reads what can be read.
    pub(crate) fn open(folder: &Path) -> Result<Self, ReportError> {
        if !MARKS.iter().any(|mark| folder.join(mark).is_file()) {
            return Err(ReportError::NotARun {
                path: folder.to_owned(),
            });
        }
        let mut reader = Reader {
            folder,
            notes: Vec::new(),
        };
        let card: Option<Card> = reader.json("model.json");
        let sha256 = card.as_ref().map_or("", |card| &card.sha256);
        let classes = card.as_ref().map_or(0, |card| card.classes.len());
        let metrics = reader.metrics();
        let last = || metrics.last.as_ref().and_then(|last| last.test.clone());
        let scores = reader.json("eval.json").or_else(last);
        let exits = scores.as_ref().map(|scores: &Scores| scores.exits.len());
        Ok(Self {
            folder: folder.to_owned(),
            recipe: reader.recipe(),
            policy: reader.policy(sha256, exits),
            calibration: reader.checked("calibrate.json", |file: &Calibration| file.fault(sha256)),
            rows: reader.checked("rows.json", |file: &Rows| file.fault(sha256, classes)),
            latency: reader.checked("latency.json", |file: &Latency| file.fault(exits)),
            gallery: reader.checked("gallery.json", Gallery::fault),
            device: reader.device(),
            notes: reader.notes,
            card,
            metrics,
            scores,
        })
    }

    /// The folder's own name.
    pub(crate) fn label(&self) -> String {
        let name = self.folder.canonicalize().ok();
        let name = name.as_deref().unwrap_or(&self.folder).file_name();
        name.map_or_else(
            || self.folder.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// The name in the recipe, else the folder's.
    pub(crate) fn name(&self) -> String {
        let name = self.recipe.as_ref().and_then(|r| r.get(&["name"]));
        name.unwrap_or_else(|| self.label())
    }
}

struct Reader<'a> {
    folder: &'a Path,
    notes: Vec<String>,
}

impl Reader<'_> {
    /// The bytes of a file; `None` where there is no such file, with a note where it cannot be read.
    fn bytes(&mut self, file: &str) -> Option<Vec<u8>> {
        match fs::read(self.folder.join(file)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                self.notes.push(format!("{file} cannot be read: {error}"));
                None
            }
        }
    }

    fn json<T: DeserializeOwned>(&mut self, file: &str) -> Option<T> {
        let bytes = self.bytes(file)?;
        let read = serde_json::from_slice(&bytes);
        read.map_err(|error| self.left_out(file, &error.to_string()))
            .ok()
    }

    /// A file that may be there and belong to another model.
    fn checked<T: DeserializeOwned>(
        &mut self,
        file: &str,
        fault: impl Fn(&T) -> Option<String>,
    ) -> Option<T> {
        let document: T = self.json(file)?;
        match fault(&document) {
            None => Some(document),
            Some(fault) => {
                self.left_out(file, &fault);
                None
            }
        }
    }

    fn metrics(&mut self) -> Metrics {
        match self.bytes("metrics.jsonl") {
            Some(bytes) => Metrics::parse(&bytes, &mut self.notes),
            None => Metrics::default(),
        }
    }

    fn recipe(&mut self) -> Option<Recipe> {
        let bytes = self.bytes("recipe.toml")?;
        let read = Recipe::parse(String::from_utf8_lossy(&bytes).into_owned());
        read.map_err(|error| self.left_out("recipe.toml", error.message()))
            .ok()
    }

    fn policy(&mut self, sha256: &str, exits: Option<usize>) -> Option<PolicyFile> {
        let path = self.folder.join("policy.json");
        let exits = exits.filter(|_| path.exists())?;
        let read = PolicyFile::read(&path, sha256, exits);
        read.map_err(|error| self.left_out("policy.json", &error.to_string()))
            .ok()
    }

    /// From `... resnet20, 3 exits, mate on cpu, 1872 steps`, the first line of a log.
    fn device(&mut self) -> Option<String> {
        let bytes = self.bytes("log.txt")?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().find(|line| line.ends_with(" steps"))?;
        let (_, rest) = line.rsplit_once(" on ")?;
        Some(rest.rsplit_once(", ")?.0.to_owned())
    }

    fn left_out(&mut self, file: &str, why: &str) {
        self.notes.push(format!("{file} was left out: {why}"));
    }
}
