//! When a multi-exit network stops, and how its thresholds are chosen.
//!
//! A network with `K` exits can answer at exit 0, 1, ... `K - 1`, each more expensive than the one
//! before. A policy looks at an exit's softmax ([`Evidence`]) and decides whether to stop
//! ([`ExitPolicy::decide`]). A *segment* is what is computed between two exits. The crate knows no
//! tensors: logits come in as slices. A *sample* is one image of a split, a row of its table.
//!
//! | folder | what | items |
//! |---|---|---|
//! | `state` | what is known of a sample at an exit; stepping through the exits | [`ExitPolicy`], [`ExitView`], [`PolicyState`], [`Rule`], [`SampleState`], [`Answer`], [`next_segment`] |
//! | `policies` | the policies and their table; policies of other crates | [`AnyPolicy`], [`NamedPolicy`], [`registry`], [`register`], [`Criterion`] |
//! | `ensembles` | combine the exits so far | [`Ensemble`], [`ensembles`], [`Readout`] |
//! | `table` | logits of a split, metrics, simulation; rows to fit on and rows to score | [`ExitTable`], [`FitRows`], [`ScoreRows`], [`evaluate()`], [`oracle`] |
//! | `fit` | temperatures, thresholds, learned policies, guarantees, on rows to fit on | [`fit_temperatures`], [`msdnet_thresholds`], [`fit()`], [`frontier`], [`control`], [`budget_curve`] |
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

mod ensembles;
mod error;
mod fit;
mod named;
mod policies;
mod state;
mod table;

pub use ensembles::{
    Ensemble, EnsembleEntry, MostConfident, ProductEnsemble, ZtwEnsemble, ZtwExit, ensembles,
};
pub use error::PolicyError;
pub use fit::{
    BudgetCurve, Controlled, Fitted, Guarantee, Promise, RiskLoss, Target, Temperatures,
    budget_curve, choose, control, fit, fit_temperatures, frontier, losses, msdnet_thresholds,
    threshold_path,
};
pub use policies::{
    AnyPolicy, ConfidencePolicy, Criterion, CustomPolicy, DeadlinePolicy, EntropyPolicy, FixedExit,
    Gate, GatePolicy, MarginPolicy, NamedPolicy, PatiencePolicy, PolicyEntry, SchedulerPolicy,
    Scorer, Thresholds, register, registry,
};
pub use state::{
    Answer, Decision, Evidence, ExitPolicy, ExitView, PastExit, PolicyState, Readout, ReadoutState,
    Rule, SampleState, SegmentQueue, exit_taken, next_segment,
};
pub use table::{
    ExitMetrics, ExitTable, ExitTableBuilder, FitRows, FitSplit, OperatingPoint, Oracle,
    Overthinking, ReliabilityBin, ScoreRows, ScoreSplit, agreement, evaluate, exits_taken, oracle,
    overthinking, reliability,
};
