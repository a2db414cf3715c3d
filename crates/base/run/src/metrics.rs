//! `metrics.jsonl`: what happened in a training, one JSON object a line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::check::{json, missing_or_percent, not_negative, null_is_nan};
use crate::document::{Document, Fault, at, short};
use crate::eval::EvalReport;

/// Version of the lines: 2 begins with a line of kind `start`, which files of version 1 do not have.
pub const METRICS_FORMAT: u32 = 2;

/// A line of `metrics.jsonl`; its `kind` says which.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// The begin of the run.
    Start(StartRecord),
    /// The mean of the steps since the last such line.
    Step(TrainRecord),
    /// The mean of the steps of an epoch.
    Epoch(TrainRecord),
    /// A validation.
    Eval(EvalRecord),
    /// The end of the run.
    Final(FinalRecord),
}

/// The begin of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// [`METRICS_FORMAT`] of the program that wrote the file.
    pub format: u32,
    /// The device, as `--device` takes it.
    pub device: String,
}

/// What some steps of training came to. A number that was not finite is `null` in the file, and NaN here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainRecord {
    /// Steps done.
    pub step: u64,
    /// Epochs done, with a fraction.
    pub epoch: f64,
    /// Learning rate of the last of these steps.
    #[serde(deserialize_with = "null_is_nan")]
    pub lr: f64,
    /// Mean of what was minimised.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Mean of each term of the loss, unweighted.
    #[serde(default, deserialize_with = "map_with_nan")]
    pub terms: BTreeMap<String, f64>,
    /// Accuracy on the (augmented) training images in percent, by exit, shallowest first.
    #[serde(default, deserialize_with = "list_with_nan")]
    pub train_top1: Vec<f64>,
    /// Mean norm of the gradient before clipping; only with `clip-norm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// Steps that were left out since a gradient was not finite; only with `precision = "fp16"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
    /// The factor of the loss for the next step; only with `precision = "fp16"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// What the method logs beside its terms, such as the weights of its teachers.
    #[serde(default, deserialize_with = "map_with_nan")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalRecord {
    /// Steps done.
    pub step: u64,
    /// The step whose weights are the model.
    pub model_step: u64,
    /// Whether early stopping ended the training.
    #[serde(default)]
    pub stopped_early: bool,
    /// Validation of the model; `null` without validation rows.
    pub val: Option<EvalReport>,
    /// Score of the model.
    pub test: EvalReport,
    /// Seconds of training.
    pub seconds: f64,
}

impl Record {
    /// Reads a line and checks every value.
    ///
    /// # Errors
    /// Key, value and rule of the first that cannot be.
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| Fault::new("the line", "no JSON", error.to_string()))?;
        let record = match value["kind"].as_str() {
            Some("start") => Self::Start(decode(&value)?),
            Some("step") => Self::Step(decode(&value)?),
            Some("epoch") => Self::Epoch(decode(&value)?),
            Some("eval") => {
                #[derive(Deserialize)]
                struct Head {
                    #[serde(default)]
                    step: u64,
                    epoch: u64,
                    #[serde(default)]
                    best: bool,
                }
                let Head { step, epoch, best } = decode(&value)?;
                let report = decode(&value)?;
                Self::Eval(EvalRecord {
                    step,
                    epoch,
                    best,
                    report,
                })
            }
            Some("final") => Self::Final(decode(&value)?),
            _ => {
                let rule = "it is start, step, epoch, eval or final";
                return Err(Fault::new("kind", short(&value["kind"]), rule));
            }
        };
        record.check()?;
        Ok(record)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first that cannot be.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Start(start) if start.format != METRICS_FORMAT => {
                let rule = format!("this program reads version {METRICS_FORMAT}");
                Err(Fault::new("format", start.format, rule))
            }
            Self::Start(_) => Ok(()),
            Self::Step(record) | Self::Epoch(record) => record.check(),
            Self::Eval(record) => record.report.check(),
            Self::Final(record) => {
                if let Some(val) = &record.val {
                    val.check().map_err(|fault| fault.below("val"))?;
                }
                record.test.check().map_err(|fault| fault.below("test"))?;
                if record.model_step > record.step {
                    let rule = format!("the run has {} steps", record.step);
                    return Err(Fault::new("model_step", record.model_step, rule));
                }
                not_negative("seconds", record.seconds)
            }
        }
    }
}

impl TrainRecord {
    fn check(&self) -> Result<(), Fault> {
        not_negative("epoch", self.epoch)?;
        for (exit, top1) in self.train_top1.iter().enumerate() {
            missing_or_percent(format!("train_top1[{exit}]"), *top1)?;
        }
        if let Some(norm) = self.gradient_norm {
            not_negative("gradient_norm", norm)?;
        }
        if let Some(scale) = self
            .loss_scale
            .filter(|scale| scale.is_nan() || *scale <= 0.0)
        {
            let rule = "a factor of the loss is above 0";
            return Err(Fault::new("loss_scale", json(scale), rule));
        }
        not_negative("images_per_second", self.images_per_second)?;
        not_negative("seconds", self.seconds)
    }

    /// Values that were not finite.
    fn gaps(&self) -> usize {
        let maps = self.terms.values().chain(self.scalars.values());
        let values = maps.chain(&self.train_top1).chain([&self.loss]);
        values.filter(|value| !value.is_finite()).count()
    }
}

/// All that could be read of a file: an interrupted run leaves half a line.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The begin; files of version 1 have none.
    pub start: Option<StartRecord>,
    /// Lines about some steps.
    pub steps: Vec<TrainRecord>,
    /// Lines about an epoch.
    pub epochs: Vec<TrainRecord>,
    /// Validations.
    pub evals: Vec<EvalRecord>,
    /// The end; none while the run goes on.
    pub last: Option<FinalRecord>,
    /// Lines that cannot be read, counted from 1, and why.
    pub damaged: Vec<(usize, Fault)>,
    /// Values that were not finite.
    pub gaps: usize,
}

impl Metrics {
    /// Name of the file in a run folder.
    pub const FILE: &str = "metrics.jsonl";

    /// Reads all lines that can be read.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut metrics = Self::default();
        for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match Record::parse(line) {
                Ok(record) => metrics.push(record),
                Err(fault) => metrics.damaged.push((number + 1, fault)),
            }
        }
        metrics
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read(path)?))
    }

    fn push(&mut self, record: Record) {
        match record {
            Record::Start(start) => self.start = Some(start),
            Record::Step(record) => {
                self.gaps += record.gaps();
                self.steps.push(record);
            }
            Record::Epoch(record) => {
                self.gaps += record.gaps();
                self.epochs.push(record);
            }
            Record::Eval(record) => self.evals.push(record),
            Record::Final(record) => self.last = Some(record),
        }
    }

    /// The points of the training curves: epochs, or steps where there are hardly any epochs.
    pub fn training(&self) -> &[TrainRecord] {
        match self.epochs.len() {
            0 | 1 if self.steps.len() > 1 => &self.steps,
            _ => &self.epochs,
        }
    }

    /// Whether there is no training in it.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.epochs.is_empty() && self.evals.is_empty()
    }
}

fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let key = error.path().to_string();
        let found = at(value, &key).map_or_else(|| "missing".to_owned(), short);
        let key = if key == "." { "the line".into() } else { key };
        Fault::new(key, found, error.into_inner().to_string())
    })
}

fn map_with_nan<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let map: BTreeMap<String, Option<f64>> = Deserialize::deserialize(d)?;
    let nan = |value: Option<f64>| value.unwrap_or(f64::NAN);
    Ok(map.into_iter().map(|(k, v)| (k, nan(v))).collect())
}

fn list_with_nan<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
    let list: Vec<Option<f64>> = Deserialize::deserialize(d)?;
    Ok(list.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_and_numbers_that_are_none_are_noted() {
        let text = concat!(
            r#"{"kind":"epoch","step":1,"epoch":1.0,"lr":0.1,"loss":2.5,"terms":{"ce/0":null},"#,
            r#""train_top1":[3.0,null],"images_per_second":1.0,"seconds":1.0}"#,
            "\n\n",
            r#"{"kind":"step","epoch":1.5,"loss":NaN}"#,
            "\n",
            r#"{"kind":"epoch","epoch":2.0,"lo"#,
        );
        let metrics = Metrics::parse(text.as_bytes());
        assert_eq!(metrics.epochs.len(), 1);
        let lines: Vec<usize> = metrics.damaged.iter().map(|(line, _)| *line).collect();
        assert_eq!((lines, metrics.gaps), (vec![3, 4], 2));
    }

    #[test]
    fn bytes_that_are_no_text_are_no_panic() {
        let metrics = Metrics::parse(&[0xff, 0xfe, b'\n', 0, 1]);
        assert!(metrics.is_empty() && metrics.last.is_none());
        assert_eq!(metrics.damaged.len(), 2);
    }
}
