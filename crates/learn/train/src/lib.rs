//! Training of multi-exit networks: recipes, optimisers, schedules, checkpoints and the trainer.
//!
//! [`train`] turns a [`Recipe`] into a run folder (see [`RunFolder`]); readers of run folders
//! need only [`evaluate`] of this crate.
//!
//! | want | see |
//! |---|---|
//! | an experiment from a TOML file | [`Recipe::load`] |
//! | to train it, or to go on with it | [`train`], [`TrainOptions`] |
//! | accuracy and calibration of every exit | [`evaluate`](fn@evaluate), [`EvalReport`] |
//! | progress events while it trains | [`progress`] |
//! | the files that it writes | [`checkpoint`] |
//! | its parts on their own | [`optim`], [`schedule`], [`Ema`] |

mod batch;
pub mod checkpoint;
mod config;
mod ema;
mod error;
mod evaluate;
mod log;
mod loss_scale;
mod metrics;
pub mod optim;
pub mod progress;
pub mod recipe;
mod run_folder;
pub mod schedule;
mod teachers;
mod trainer;

pub use config::{Best, CheckpointConfig, Checkpointing, EmaConfig, ModelConfig, TrainConfig};
pub use ema::Ema;
pub use error::{RunError, TrainError, Work};
pub use evaluate::{EvalOptions, evaluate};
pub use loss_scale::LossScale;
pub use offramp_run::{EnsembleReport, EvalReport, ExitReport};
pub use recipe::Recipe;
pub use run_folder::RunFolder;
pub use trainer::{Outcome, TrainOptions, TrainReport, train};

/// Prefix of the network's tensors in optimiser and checkpoint.
pub(crate) const NET: &str = "net";
/// Prefix of the method's tensors in optimiser and checkpoint.
pub(crate) const METHOD: &str = "method";
/// Prefix of the distillers' tensors in optimiser and checkpoint.
pub(crate) const DISTILL: &str = "distill";
