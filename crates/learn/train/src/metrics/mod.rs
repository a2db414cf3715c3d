//! `metrics.jsonl`: what happened, one JSON object a line.

mod file;
mod sums;

pub use file::MetricsFile;
pub use offramp_run::{EvalRecord, FinalRecord, Record, StartRecord, TrainRecord};
pub use sums::{StepValues, Sums, TermValue};
