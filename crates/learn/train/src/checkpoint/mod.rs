//! Checkpoints: everything that a run needs to go on as if it had never stopped.
//!
//! A checkpoint is one safetensors file, `checkpoints/step-00001234.safetensors`:
//! tensors under `net/`, `method/`, `ema/` and `optimizer/`, and in the metadata of its
//! header the [`Position`] as JSON (key `offramp`) and the SHA-256 of the whole file
//! (key `sha256`). It is written to a temporary file and renamed, so a process that is
//! killed leaves either the whole of it or nothing.

mod file;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use offramp_core::params::{NamedTensors, ParamError};
use offramp_run::files::FileError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use file::read;
pub(crate) use store::CheckpointStore;

use crate::loss_scale::LossScale;
pub use crate::metrics::Sums;

/// Version of the format; raised when older files can no longer be read.
pub const FORMAT: u32 = 2;

/// A checkpoint in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The state of the run apart from the tensors.
    pub position: Position,
    /// Parameters and running statistics of the network.
    pub net: NamedTensors,
    /// Parameters of the method, `method.*`, and of the distillers, `distill.*`.
    pub method: NamedTensors,
    /// The averaged network, if one is kept.
    pub ema: NamedTensors,
    /// The optimiser's tensors, `<part>/<parameter>/<what>`.
    pub optimizer: NamedTensors,
}

/// The state of a run apart from the tensors. It has no random generator: every random choice is a
/// function of seed, epoch and sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// [`FORMAT`].
    pub format: u32,
    /// Steps done.
    pub step: u64,
    /// Steps per epoch; another number means that the data have changed.
    pub steps_per_epoch: u64,
    /// The best validation so far.
    pub best: Option<BestSoFar>,
    /// Validations since the best one.
    pub stale: usize,
    /// Whether early stopping has ended the training.
    pub stopped: bool,
    /// Bytes of `metrics.jsonl` when this was written.
    pub metrics_bytes: u64,
    /// Seconds of training so far, over all the times the run was resumed.
    pub seconds: f64,
    /// Sums since the last line of the log.
    pub window: Sums,
    /// Sums since the beginning of the epoch.
    pub epoch: Sums,
    /// State of the method beside its tensors.
    pub method: BTreeMap<String, f64>,
    /// The factor of the loss, with float16.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Updates of each parameter by the optimiser.
    pub updates: BTreeMap<String, u64>,
    /// The checkpoints before this one that are still there, with the best step each knew.
    pub kept: Vec<Kept>,
}

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestSoFar {
    /// Steps done at it, which names its checkpoint.
    pub step: u64,
    /// Epochs done at it.
    pub epoch: u64,
    /// Its accuracy in percent, as `train.checkpoint.best` measures it.
    pub top1: f64,
}

/// A checkpoint on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its step.
    pub step: u64,
    /// The step of the best checkpoint at that time.
    pub best: Option<u64>,
}

/// A checkpoint that cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file system reports an error.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bytes are not those that were written.
    #[error(
        "{}: the checkpoint is damaged: its SHA-256 is {found}, {expected} was recorded",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Recorded checksum.
        expected: String,
        /// Checksum of what is there.
        found: String,
    },
    /// The file is not a checkpoint of offramp.
    #[error("{}: the checkpoint cannot be read: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It was written by another version.
    #[error(
        "{}: the checkpoint has format {found}, this version of offramp reads {FORMAT}; \
         finish the run with the version that began it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its tensors are not those of the network.
    #[error("{}: {source}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        source: ParamError,
    },
    /// The newest checkpoint is unusable and older ones exist.
    #[error(
        "{source}; {} is older and sound: delete the damaged file to resume from there",
        older.display()
    )]
    OlderUsable {
        /// What is wrong with the newest.
        source: Box<CheckpointError>,
        /// The newest one that can be read.
        older: PathBuf,
    },
}
