//! When a multi-exit network stops, and how its thresholds are chosen.

mod criterion;
mod curve;
mod error;
mod evaluate;
mod evidence;
mod metrics;
mod msdnet;
mod policies;
mod policy;
mod registry;
mod rows;
mod softmax;
mod table;
mod temperature;
mod thresholds;

pub use criterion::Criterion;
pub use curve::{BudgetCurve, budget_curve};
pub use error::PolicyError;
pub use evaluate::{OperatingPoint, evaluate, exits_taken};
pub use evidence::Evidence;
pub use metrics::ExitMetrics;
pub use msdnet::msdnet_thresholds;
pub use policies::{ConfidencePolicy, EntropyPolicy, FixedExit, MarginPolicy};
pub use policy::{Decision, ExitPolicy, exit_taken};
pub use registry::{AnyPolicy, PolicyEntry, registry};
pub use rows::{FitRows, FitSplit, ScoreRows, ScoreSplit};
pub use table::{ExitTable, ExitTableBuilder};
pub use temperature::{Temperatures, fit_temperatures};
pub use thresholds::Thresholds;
