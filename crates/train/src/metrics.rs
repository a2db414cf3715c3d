//! `metrics.jsonl`: what happened, one JSON object a line.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use offramp_core::files::FileError;
use serde::{Deserialize, Serialize};

use crate::report::EvalReport;

/// A line of `metrics.jsonl`; its `kind` says which.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// The mean of the steps since the last such line.
    Step(TrainRecord),
    /// The mean of the steps of an epoch.
    Epoch(TrainRecord),
    /// A validation.
    Eval(EvalRecord),
    /// The end of the run.
    Final(FinalRecord),
}

/// What some steps of training came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainRecord {
    /// Steps done.
    pub step: u64,
    /// Epochs done, with a fraction.
    pub epoch: f64,
    /// Learning rate of the last of these steps.
    pub lr: f64,
    /// Mean of what was minimised.
    pub loss: f64,
    /// Mean of each term of the loss, unweighted.
    pub terms: BTreeMap<String, f64>,
    /// Accuracy on the (augmented) training images in percent, by exit, shallowest first.
    pub train_top1: Vec<f64>,
    /// Mean norm of the gradient before clipping; only with `clip-norm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// What the method logs beside its terms, such as the weights of its teachers.
    pub scalars: BTreeMap<String, f64>,
    /// Images trained on a second, the time to wait for data included.
    pub images_per_second: f64,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// A validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalRecord {
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Whether it is the best so far.
    pub best: bool,
    /// The numbers.
    #[serde(flatten)]
    pub report: EvalReport,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinalRecord {
    /// Steps done.
    pub step: u64,
    /// The step whose weights are the model.
    pub model_step: u64,
    /// Whether early stopping ended the training.
    pub stopped_early: bool,
    /// Validation of the model; `null` without validation rows.
    pub val: Option<EvalReport>,
    /// Score of the model.
    pub test: EvalReport,
    /// Seconds of training.
    pub seconds: f64,
}

/// Sums over steps, from which a [`TrainRecord`] is made. Part of a checkpoint, so that a line
/// that spans an interruption is the same as without it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Steps.
    pub steps: u64,
    /// Images.
    pub images: u64,
    /// Images with a label.
    pub labelled: u64,
    /// Of the total loss.
    pub loss: f64,
    /// Of each term.
    pub terms: BTreeMap<String, f64>,
    /// Of right answers, by exit.
    pub correct: Vec<f64>,
    /// Of gradient norms.
    pub gradient_norm: Option<f64>,
    /// Seconds.
    pub seconds: f64,
}

/// What one step came to, as read back from the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepValues {
    /// Images of the batch.
    pub images: usize,
    /// Of them with a label.
    pub labelled: usize,
    /// The total loss.
    pub loss: f64,
    /// Each term.
    pub terms: Vec<TermValue>,
    /// Right answers by exit.
    pub correct: Vec<f64>,
    /// Norm of the gradient, if it was computed.
    pub gradient_norm: Option<f64>,
    /// How long the step took, the wait for its batch included.
    pub seconds: f64,
}

/// One term of the loss of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct TermValue {
    /// Such as `ce/0`.
    pub name: String,
    /// Unweighted.
    pub value: f64,
    /// Its weight at this step.
    pub weight: f64,
}

impl StepValues {
    /// The first of the numbers that must be finite and is not: its name and value. A term of
    /// weight 0 takes no part in the loss and may be anything.
    pub fn not_finite(&self) -> Option<(String, f64)> {
        let terms = self.terms.iter().filter(|term| term.weight != 0.0);
        let norm = self
            .gradient_norm
            .map(|norm| ("the gradient norm".to_owned(), norm));
        terms
            .map(|term| (format!("the loss term {:?}", term.name), term.value))
            .chain([("the total loss".to_owned(), self.loss)])
            .chain(norm)
            .find(|(_, value)| !value.is_finite())
    }
}

impl Sums {
    /// Adds a step.
    pub fn add(&mut self, step: &StepValues) {
        self.steps += 1;
        self.images += step.images as u64;
        self.labelled += step.labelled as u64;
        self.loss += step.loss;
        for TermValue { name, value, .. } in &step.terms {
            match self.terms.get_mut(name) {
                Some(sum) => *sum += value,
                None => drop(self.terms.insert(name.clone(), *value)),
            }
        }
        self.correct.resize(step.correct.len(), 0.0);
        for (sum, value) in self.correct.iter_mut().zip(&step.correct) {
            *sum += value;
        }
        if let Some(norm) = step.gradient_norm {
            *self.gradient_norm.get_or_insert_default() += norm;
        }
        self.seconds += step.seconds;
    }

    /// The means. `scalars` and `seconds` of the run are the caller's.
    pub fn record(&self, step: u64, epoch: f64, lr: f64) -> TrainRecord {
        let steps = self.steps.max(1) as f64;
        let percent = |correct: &f64| 100.0 * correct / self.labelled.max(1) as f64;
        TrainRecord {
            step,
            epoch,
            lr,
            loss: self.loss / steps,
            terms: self
                .terms
                .iter()
                .map(|(n, v)| (n.clone(), v / steps))
                .collect(),
            train_top1: self.correct.iter().map(percent).collect(),
            gradient_norm: self.gradient_norm.map(|norm| norm / steps),
            scalars: BTreeMap::new(),
            images_per_second: self.images as f64 / self.seconds.max(1e-9),
            seconds: 0.0,
        }
    }
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl MetricsFile {
    /// Opens the file and cuts it to its first `bytes` bytes, so that what an interrupted run
    /// wrote after its last checkpoint is not there twice.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, FileError> {
        let attempt = || {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).read(true).open(path)?;
            let length = file.metadata()?.len();
            if length < bytes {
                tracing::warn!(
                    "{} has {length} bytes, the checkpoint knows of {bytes}: lines are missing",
                    path.display()
                );
            }
            let bytes = bytes.min(length);
            file.set_len(bytes)?;
            Ok((file, bytes))
        };
        let (file, bytes) = attempt().map_err(|source| FileError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
        })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When the file cannot be written; what is in it stays.
    pub fn append(&mut self, record: &Record) -> Result<(), FileError> {
        let mut attempt = || {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.bytes += line.len() as u64;
            Ok(())
        };
        attempt().map_err(|source| FileError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Brings what was appended to the disk, before a checkpoint speaks of it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|source| FileError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(loss: f64) -> StepValues {
        let term = |name: &str, value, weight| TermValue {
            name: name.to_owned(),
            value,
            weight,
        };
        StepValues {
            images: 4,
            labelled: 2,
            loss,
            terms: vec![term("ce/0", loss, 1.0), term("kd/0", 2.0 * loss, 0.0)],
            correct: vec![1.0, 2.0],
            gradient_norm: None,
            seconds: 0.5,
        }
    }

    fn record(loss: f64) -> Record {
        let mut sums = Sums::default();
        sums.add(&values(loss));
        Record::Step(sums.record(1, 0.5, 0.1))
    }

    #[test]
    fn records_are_means() {
        let mut sums = Sums::default();
        sums.add(&values(1.0));
        sums.add(&values(3.0));
        let record = sums.record(2, 0.5, 0.1);
        assert_eq!(record.loss, 2.0);
        assert_eq!(record.terms["kd/0"], 4.0);
        assert_eq!(record.train_top1, [50.0, 100.0]);
        assert_eq!(record.images_per_second, 8.0);
        let json = serde_json::to_value(Record::Step(record)).unwrap();
        assert_eq!(json["kind"], "step");
        assert!(json.get("gradient_norm").is_none());
    }

    #[test]
    fn a_batch_without_labels_has_no_accuracy_and_no_nan() {
        let mut sums = Sums::default();
        sums.add(&StepValues {
            labelled: 0,
            correct: vec![0.0],
            ..values(1.0)
        });
        assert_eq!(sums.record(1, 0.0, 0.1).train_top1, [0.0]);
    }

    #[test]
    fn what_is_not_finite_is_named_unless_it_takes_no_part() {
        assert_eq!(values(1.0).not_finite(), None);
        let mut step = values(1.0);
        step.terms[1].value = f64::NAN;
        assert_eq!(step.not_finite(), None);
        step.terms[1].weight = 0.5;
        let (name, value) = step.not_finite().unwrap();
        assert!(name.contains("kd/0") && value.is_nan(), "{name}");
        let mut step = values(1.0);
        step.gradient_norm = Some(f64::INFINITY);
        assert_eq!(step.not_finite().unwrap().0, "the gradient norm");
    }

    #[test]
    fn the_file_is_cut_to_what_the_checkpoint_knows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = MetricsFile::open(&path, 0).unwrap();
        file.append(&record(1.0)).unwrap();
        let known = file.bytes();
        file.append(&record(2.0)).unwrap();
        drop(file);
        // The process died in the middle of a line.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut file = MetricsFile::open(&path, known).unwrap();
        file.append(&record(3.0)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let losses: Vec<f64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64())
            .map(Option::unwrap)
            .collect();
        assert_eq!(losses, [1.0, 3.0]);
    }
}
