//! The `[train]` and `[model]` tables of a recipe.

mod check;
mod model;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use model::ModelConfig;
use offramp_core::Precision;
use offramp_data::Interleave;

use crate::optim::OptimizerConfig;
use crate::schedule::ScheduleConfig;

/// Epochs, batch size, optimiser, schedule and the other settings of training.
///
/// ```
/// let train: offramp_train::TrainConfig = toml::from_str(r#"
///     epochs = 24
///     [optimizer]
///     name = "sgd"
///     lr = 0.05
/// "#)?;
/// assert_eq!((train.epochs, train.batch_size), (24, 128));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Whether the last batch of an epoch is left out when it is not full.
    pub drop_last: bool,
    /// Gradient accumulation: the images of a step are computed in this number of parts, one after the
    /// other, so that only the maps of one part take memory. Batch norms take their statistics from each
    /// part.
    pub accumulate: usize,
    /// Data parallelism: the number of devices that share the images of a step, the run's and those after
    /// it (`cuda:0`, `cuda:1`, ...), or threads of one processor to try it out.
    pub replicas: usize,
    /// Whether batch norm takes its statistics from the images of all replicas instead of its own.
    pub sync_batch_norm: bool,
    /// The numbers that the network computes with; weights, statistics and losses are float32.
    pub precision: Precision,
    /// Activation checkpointing: what is recomputed in the backward pass instead of kept.
    pub checkpointing: Checkpointing,
    /// How many images with and without a label alternate in the batches of semi-supervised training, as `{ labelled = 1, unlabelled = 3 }`; absent: as they come.
    pub interleave: Option<Interleave>,
    /// Epochs of linear warm-up of the learning rate; fractions are fine.
    pub warmup_epochs: f64,
    /// Mass taken from the label and spread evenly over all classes.
    pub label_smoothing: f64,
    /// The gradient is scaled down to at most this norm, over all parameters; absent: never.
    pub clip_norm: Option<f64>,
    /// Epochs between two validations; 0 validates after the last only.
    pub eval_every: usize,
    /// Images per step in validation and test. The result may depend on it in the last digits.
    pub eval_batch_size: usize,
    /// Validations without a better one after which training ends; absent: never.
    pub patience: Option<usize>,
    /// Steps between two lines of the log.
    pub log_every: usize,
    /// Threads that prepare batches. No result depends on it.
    pub workers: usize,
    /// Batches prepared ahead. No result depends on it.
    pub prefetch: usize,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// How the learning rate falls.
    pub schedule: ScheduleConfig,
    /// Moving average of the weights; absent: none.
    pub ema: Option<EmaConfig>,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 200,
            batch_size: 128,
            drop_last: true,
            accumulate: 1,
            replicas: 1,
            sync_batch_norm: false,
            precision: Precision::F32,
            checkpointing: Checkpointing::None,
            interleave: None,
            warmup_epochs: 0.0,
            label_smoothing: 0.0,
            clip_norm: None,
            eval_every: 1,
            eval_batch_size: 250,
            patience: None,
            log_every: 50,
            workers: 2,
            prefetch: 4,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            ema: None,
            checkpoint: CheckpointConfig::default(),
        }
    }
}

/// What a step recomputes in the backward pass instead of keeping it (Chen et al., *Training Deep Nets
/// with Sublinear Memory Cost*, 2016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checkpointing {
    /// Nothing.
    #[default]
    None,
    /// The blocks of the backbone: the maps between blocks are kept, those within a block are recomputed
    /// for its backward pass.
    Blocks,
}

impl FromStr for Checkpointing {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "none" => Ok(Self::None),
            "blocks" => Ok(Self::Blocks),
            _ => Err(format!(
                "no checkpointing is called {name:?}; there are none and blocks"
            )),
        }
    }
}

impl fmt::Display for Checkpointing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Blocks => "blocks",
        })
    }
}

/// Exponential moving average of weights and running statistics:
/// `ema <- d ema + (1 - d) w` after each step, `d = min(decay, (1 + s) / (10 + s))` with `s` the
/// steps done. The averaged network is evaluated and saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EmaConfig {
    /// The final decay.
    pub decay: f64,
    /// Whether the decay starts small, so that the first weights are soon forgotten; otherwise
    /// `d = decay` throughout.
    pub warmup: bool,
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self {
            decay: 0.999,
            warmup: true,
        }
    }
}

/// When checkpoints are written and which are kept; one is written at the end in any case, and
/// at every validation that is the best so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps between two; 0: none within an epoch.
    pub every_steps: u64,
    /// Epochs between two; 0: none between epochs.
    pub every_epochs: usize,
    /// How many are kept, the newest; at least 1.
    pub keep_last: usize,
    /// Which accuracy decides on the best validation.
    pub best: Best,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            every_steps: 0,
            every_epochs: 1,
            keep_last: 2,
            best: Best::Deepest,
        }
    }
}

/// The validation accuracy by which the network is chosen. Test images never choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Best {
    /// That of the deepest exit.
    Deepest,
    /// The mean over the exits.
    Mean,
    /// None: the last weights are kept.
    Last,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_through_toml() {
        let config = TrainConfig {
            clip_norm: Some(5.0),
            ema: Some(EmaConfig::default()),
            ..Default::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config);
        config.check().unwrap();
    }
}
