//! A run folder, read: what is missing or damaged is said and left out.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use offramp_run::{
    Calibration, Document, DocumentError, EvalReport, Gallery, Latency, Metrics, ModelCard,
    PolicyFile, RecipeText, Rows, RunPaths,
};

use crate::ReportError;

/// Everything the report shows of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    pub(crate) recipe: Option<RecipeText>,
    pub(crate) card: Option<ModelCard>,
    pub(crate) metrics: Metrics,
    /// Of the test rows: `eval.json`, else the last line of the metrics.
    pub(crate) scores: Option<EvalReport>,
    pub(crate) policy: Option<PolicyFile>,
    pub(crate) calibration: Option<Calibration>,
    pub(crate) rows: Option<Rows>,
    pub(crate) latency: Option<Latency>,
    pub(crate) gallery: Option<Gallery>,
    /// What is damaged.
    pub(crate) notes: Vec<String>,
}

impl Run {
    /// Reads what can be read.
    pub(crate) fn open(folder: &Path) -> Result<Self, ReportError> {
        let paths = RunPaths::new(folder);
        if !paths.is_run() {
            return Err(ReportError::NotARun {
                path: folder.to_owned(),
            });
        }
        let mut reader = Reader {
            paths,
            notes: Vec::new(),
            not_compared: Vec::new(),
        };
        let card: Option<ModelCard> = reader.document(|_, _| Ok(()));
        let model = card
            .as_ref()
            .map(|card| (card.sha256.as_str(), card.classes.len()));
        let metrics = reader.metrics();
        let last = || metrics.last.as_ref().map(|last| last.test.clone());
        let scores = reader.document(|_, _| Ok(())).or_else(last);
        let exits = scores
            .as_ref()
            .map(|scores: &EvalReport| scores.exits.len());
        let of_exits =
            |count: Option<usize>, check: &dyn Fn(usize) -> Result<(), offramp_run::Fault>| {
                count.map_or(Ok(()), check)
            };
        Ok(Self {
            folder: folder.to_owned(),
            recipe: reader.recipe(),
            policy: exits.and_then(|exits| {
                reader.of_model(model, |file: &PolicyFile, path, (sha256, classes)| {
                    file.check_network(path, sha256, exits, classes)
                })
            }),
            calibration: reader.of_model(model, |file: &Calibration, path, (sha256, _)| {
                file.check_model(path, sha256)
            }),
            rows: reader.of_model(model, |file: &Rows, path, (sha256, classes)| {
                file.check_network(path, sha256, classes)
            }),
            latency: reader.document(|file: &Latency, path| {
                of_exits(exits, &|exits| file.check_exits(exits))
                    .map_err(|fault| DocumentError::value::<Latency>(path, fault))
            }),
            gallery: reader.document(|file: &Gallery, path| {
                of_exits(exits, &|exits| file.check_exits(exits))
                    .map_err(|fault| DocumentError::value::<Gallery>(path, fault))
            }),
            notes: reader.notes(),
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

    /// The device that it was trained on; runs of earlier versions do not say.
    pub(crate) fn device(&self) -> Option<String> {
        let start = self.metrics.start.as_ref()?;
        Some(start.device.clone())
    }
}

struct Reader {
    paths: RunPaths,
    notes: Vec<String>,
    /// Documents of which nobody knows whether they are this model's.
    not_compared: Vec<&'static str>,
}

impl Reader {
    /// What is damaged, and what was not compared.
    fn notes(self) -> Vec<String> {
        let mut notes = self.notes;
        if !self.not_compared.is_empty() {
            notes.push(format!(
                "without {}, {} cannot be compared with the weights and may be another model's",
                <ModelCard>::FILE,
                self.not_compared.join(", ")
            ));
        }
        notes
    }

    /// A document that says which model it is of, which `check` compares with that of the run where it is known.
    fn of_model<D: Document>(
        &mut self,
        model: Option<(&str, usize)>,
        check: impl Fn(&D, &Path, (&str, usize)) -> Result<(), DocumentError>,
    ) -> Option<D> {
        let found = self.document(|file, path| match model {
            Some(model) => check(file, path, model),
            None => Ok(()),
        });
        if found.is_some() && model.is_none() {
            self.not_compared.push(D::FILE);
        }
        found
    }

    /// A document that may be missing, damaged, or of another network.
    fn document<D: Document>(
        &mut self,
        check: impl Fn(&D, &Path) -> Result<(), DocumentError>,
    ) -> Option<D> {
        let path = Path::new(D::FILE);
        let bytes = self.bytes(D::FILE)?;
        let read = D::parse(&String::from_utf8_lossy(&bytes), path);
        let checked = read.and_then(|document| {
            check(&document, path)?;
            Ok(document)
        });
        checked.map_err(|error| self.left_out(&error)).ok()
    }

    /// The bytes of a file; `None` where there is no such file, with a note where it cannot be read.
    fn bytes(&mut self, file: &str) -> Option<Vec<u8>> {
        match std::fs::read(self.paths.folder().join(file)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                self.notes.push(format!("{file} cannot be read: {error}"));
                None
            }
        }
    }

    fn metrics(&mut self) -> Metrics {
        let Some(bytes) = self.bytes(Metrics::FILE) else {
            return Metrics::default();
        };
        let metrics = Metrics::parse(&bytes);
        if let Some((number, fault)) = metrics.damaged.first() {
            let others = match metrics.damaged.len() {
                1 => String::new(),
                n => format!(" and {} more lines", n - 1),
            };
            self.notes.push(format!(
                "metrics.jsonl: line {number}{others} cannot be read and was left out ({fault})"
            ));
        }
        if metrics.gaps > 0 {
            self.notes.push(format!(
                "metrics.jsonl: {} values are not finite (NaN or infinite); curves have gaps there",
                metrics.gaps
            ));
        }
        metrics
    }

    fn recipe(&mut self) -> Option<RecipeText> {
        let bytes = self.bytes(RecipeText::FILE)?;
        let read = RecipeText::parse(String::from_utf8_lossy(&bytes).into_owned());
        let file = RecipeText::FILE;
        read.map_err(|error| self.left_out(&format!("{file}: {}", error.message())))
            .ok()
    }

    /// Notes an error, which names the file.
    fn left_out(&mut self, error: &dyn Display) {
        self.notes.push(format!("left out: {error}"));
    }
}
