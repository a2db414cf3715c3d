//! When a multi-exit network stops, and how its thresholds are chosen.
//!
//! A network with `K` exits answers at exit 0, 1, ... `K - 1`, each dearer than the one before. A
//! policy looks at an exit's softmax ([`Evidence`]) and decides whether to stop
//! ([`ExitPolicy::decide`]). The crate knows no tensors: logits come in as slices.
//!
//! | step | items |
//! |---|---|
//! | decide | [`Evidence`], [`ExitPolicy`], [`Trail`], [`AnyPolicy`], [`registry`] |
//! | run | [`Rule`], [`Walk`], [`Answer`], [`next_segment`] |
//! | put exits together | [`Ensemble`], [`ensembles`], [`Readout`] |
//! | collect the exits' logits over a split | [`ExitTableBuilder`], [`ExitTable`] |
//! | say which split it is | [`FitRows`], [`ScoreRows`] |
//! | calibrate confidences | [`fit_temperatures`], [`Temperatures`] |
//! | choose thresholds, on the rows to fit on | [`msdnet_thresholds`], [`fit()`], [`frontier`] |
//! | train what learns | [`fit_gates`], [`fit_scheduler`], [`fit_zero_time_waste`] |
//! | promise how little is lost | [`control`], [`Guarantee`], [`threshold_path`] |
//! | simulate, on the rows to score | [`evaluate()`], [`budget_curve`] |
//! | look closer | [`ExitTable::metrics`], [`overthinking`], [`oracle`], [`agreement`], [`reliability`] |
//!
//! ```
//! use offramp_policies::*;
//!
//! # fn rows(seed: u32) -> Result<ExitTable, PolicyError> {
//! #     let noise = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_mul(seed) >> 24) as f32 / 128.0 - 1.0;
//! #     let exit = |k: u32| (0..100).flat_map(|i| [noise(2 * i + k) + (k + 1) as f32, 0.0]).collect();
//! #     ExitTable::new(vec![exit(0), exit(1)], 2, vec![0; 100])
//! # }
//! let val = FitRows::new(FitSplit::Val, rows(1)?);
//! let test = ScoreRows::new(ScoreSplit::Test, rows(2)?);
//! let macs = [10_000_000, 41_000_000];
//! let fitted = fit(&val, Criterion::Confidence, &macs, Target::MaxDrop(1.0))?;
//! let score = evaluate(&fitted.policy, test.table(), &macs)?;
//! println!("{:.1} % at {:.0} MACs", score.top1, score.mean_macs);
//! # Ok::<(), PolicyError>(())
//! ```

mod criterion;
mod curve;
mod diagnostics;
mod ensembles;
mod error;
mod evaluate;
mod evidence;
mod learn;
mod metrics;
mod msdnet;
mod policies;
mod policy;
mod readout;
mod registry;
mod risk;
mod rows;
mod rule;
mod search;
mod shuffle;
mod softmax;
mod table;
mod table_builder;
mod temperature;
mod thresholds;

pub use criterion::Criterion;
pub use curve::{BudgetCurve, budget_curve};
pub use diagnostics::{
    Oracle, Overthinking, ReliabilityBin, agreement, oracle, overthinking, reliability,
};
pub use ensembles::{
    Ensemble, EnsembleEntry, MostConfident, ProductEnsemble, ZtwEnsemble, ZtwExit, ensembles,
};
pub use error::PolicyError;
pub use evaluate::{OperatingPoint, evaluate, exits_taken};
pub use evidence::Evidence;
pub use learn::{fit_gates, fit_scheduler, fit_zero_time_waste};
pub use metrics::ExitMetrics;
pub use msdnet::msdnet_thresholds;
pub use policies::{
    ConfidencePolicy, DeadlinePolicy, EntropyPolicy, FixedExit, Gate, GatePolicy, MarginPolicy,
    PatiencePolicy, SchedulerPolicy, Scorer,
};
pub use policy::{Decision, ExitPolicy, Passed, Shown, Trail, exit_taken};
pub use readout::{Reading, Readout};
pub use registry::{AnyPolicy, PolicyEntry, registry};
pub use risk::{
    Controlled, Guarantee, Promise, RiskLoss, betting_p_value, binomial_p_value, control,
    hoeffding_bentkus_p_value, losses, threshold_path,
};
pub use rows::{FitRows, FitSplit, ScoreRows, ScoreSplit};
pub use rule::{Answer, Front, Rule, Walk, next_segment};
pub use search::{Fitted, Target, choose, fit, frontier};
pub use table::ExitTable;
pub use table_builder::ExitTableBuilder;
pub use temperature::{Temperatures, fit_temperatures};
pub use thresholds::Thresholds;
