//! Training of multi-exit networks: recipes, optimisers, schedules, checkpoints and the trainer.
//!
//! [`train`] turns a [`Recipe`] into a run folder (see [`RunFolder`]); what reads one afterwards
//! needs nothing of this crate but [`evaluate`].
//!
//! | want | see |
//! |---|---|
//! | an experiment from a TOML file | [`Recipe::load`] |
//! | to train it, or to go on with it | [`train`], [`TrainOptions`] |
//! | accuracy and calibration of every exit | [`evaluate`](fn@evaluate), [`EvalReport`] |
//! | what the trainer says while it works | [`progress`] |
//! | what it writes | [`metrics`], [`checkpoint`] |
//! | its parts on their own | [`optim`], [`schedule`], [`Ema`] |

mod batch;
pub mod checkpoint;
mod config;
mod ema;
mod error;
mod evaluate;
mod lectures;
mod log;
mod loss_scale;
pub mod metrics;
pub mod optim;
pub mod progress;
pub mod recipe;
mod run_folder;
pub mod schedule;
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

/// What the tensors of the network are called by in optimiser and checkpoint.
pub(crate) const NET: &str = "net";
/// What the tensors of the method are called by in optimiser and checkpoint.
pub(crate) const METHOD: &str = "method";
/// What the tensors of the distillers are called by in optimiser and checkpoint.
pub(crate) const DISTILL: &str = "distill";
