//! `metrics.jsonl`: the metrics of a run, one JSON object per line.

mod file;
mod sums;

pub(crate) use file::MetricsFile;
pub(crate) use offramp_run::{EvalRecord, FinalRecord, Record, StartRecord, TrainRecord};
pub use sums::Sums;
pub(crate) use sums::{StepValues, TermValue};
