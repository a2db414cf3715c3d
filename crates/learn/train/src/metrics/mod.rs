//! `metrics.jsonl`: the metrics of a run, one JSON object per line.

mod file;
mod sums;

pub use file::MetricsFile;
pub use offramp_run::{EvalRecord, FinalRecord, Record, StartRecord, TrainRecord};
pub use sums::{StepValues, Sums, TermValue};
