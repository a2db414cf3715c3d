//! The logits of a split, what every exit makes of them, and what a policy would do.

mod builder;
mod diagnostics;
mod evaluate;
mod exit_table;
mod metrics;
mod splits;

pub use builder::ExitTableBuilder;
pub use diagnostics::{
    Oracle, Overthinking, ReliabilityBin, agreement, oracle, overthinking, reliability,
};
pub use evaluate::{OperatingPoint, evaluate, exits_taken};
pub(crate) use evaluate::{check_macs, mean_macs};
pub use exit_table::ExitTable;
pub use metrics::ExitMetrics;
pub(crate) use metrics::percent;
pub(crate) use splits::check_pair;
pub use splits::{FitRows, FitSplit, ScoreRows, ScoreSplit};
