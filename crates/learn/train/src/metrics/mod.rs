//! `metrics.jsonl`: the metrics of a run, one JSON object per line.

mod file;
mod sums;

use std::collections::BTreeMap;

use serde::Serialize;

pub use file::MetricsFile;
pub use sums::{StepValues, Sums, TermValue};

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

/// The metrics of some training steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainRecord {
    /// Steps done.
    pub step: u64,
    /// Epochs done, with a fraction.
    pub epoch: f64,
    /// Learning rate of the last of these steps.
    pub lr: f64,
    /// Mean of the total loss.
    pub loss: f64,
    /// Mean of each term of the loss, unweighted.
    pub terms: BTreeMap<String, f64>,
    /// Accuracy on the (augmented) training images in percent, by exit, shallowest first.
    pub train_top1: Vec<f64>,
    /// Mean norm of the gradient before clipping; only with `clip-norm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// Steps that were skipped since a gradient was not finite; only with `precision = "fp16"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
    /// The factor of the loss for the next step; only with `precision = "fp16"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// What the method logs beside its terms, such as the weights of its teachers.
    pub scalars: BTreeMap<String, f64>,
    /// Images per second, the wait for data included.
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
    /// Validation of the model; `null` without validation images.
    pub val: Option<EvalReport>,
    /// Score of the model.
    pub test: EvalReport,
    /// Seconds of training.
    pub seconds: f64,
}
