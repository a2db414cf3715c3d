//! The `[train]` table of a recipe.

use serde::{Deserialize, Serialize};

use crate::optim::{AdamwConfig, OptimizerConfig, SgdConfig};
use crate::schedule::{ScheduleConfig, Step};

/// How long, how fast and with what the network is trained.
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
    /// Passes over the training rows.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Whether the last batch of an epoch is left out when it is not full.
    pub drop_last: bool,
    /// Epochs of linear warm-up of the learning rate; fractions are fine.
    pub warmup_epochs: f64,
    /// Mass taken from the label and spread evenly over all classes.
    pub label_smoothing: f64,
    /// The gradient is scaled down to at most this norm, over all parameters; absent: never.
    pub clip_norm: Option<f64>,
    /// Epochs between two validations; 0 validates after the last only.
    pub eval_every: usize,
    /// Images a step in validation and test. The result may depend on it in the last digits.
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

/// Exponential moving average of weights and running statistics:
/// `ema <- d ema + (1 - d) w` after each step, `d = min(decay, (1 + s) / (10 + s))` with `s` the
/// steps done. The averaged network is the one that is evaluated and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EmaConfig {
    /// The decay that is reached.
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
    /// Which validation is the best.
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

/// The validation accuracy by which the network is chosen. Test rows never choose.
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

impl TrainConfig {
    /// Checks the values; the error is the key below `train` and what is wrong with it.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn check(&self) -> Result<(), (String, String)> {
        let at_least_one = [
            ("epochs", self.epochs),
            ("batch-size", self.batch_size),
            ("eval-batch-size", self.eval_batch_size),
            ("log-every", self.log_every),
            ("workers", self.workers),
            ("prefetch", self.prefetch),
            ("patience", self.patience.unwrap_or(1)),
            ("checkpoint.keep-last", self.checkpoint.keep_last),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err((key.into(), "0 is too small, it must be at least 1".into()));
            }
        }
        let in_range = |key: &str, value: f64, allowed: bool, rule: &str| match allowed {
            true => Ok(()),
            false => Err((key.to_owned(), format!("{value} is not allowed, {rule}"))),
        };
        let smoothing = self.label_smoothing;
        let unit = "it must lie in [0, 1)";
        in_range(
            "label-smoothing",
            smoothing,
            (0.0..1.0).contains(&smoothing),
            unit,
        )?;
        let warmup = self.warmup_epochs;
        let rule = "it must lie between 0 and train.epochs";
        in_range(
            "warmup-epochs",
            warmup,
            (0.0..=self.epochs as f64).contains(&warmup),
            rule,
        )?;
        if let Some(clip) = self.clip_norm {
            in_range(
                "clip-norm",
                clip,
                clip > 0.0 && clip.is_finite(),
                "it must be above 0",
            )?;
        }
        if let Some(EmaConfig { decay, .. }) = self.ema {
            in_range("ema.decay", decay, (0.0..1.0).contains(&decay), unit)?;
        }
        self.check_optimizer()?;
        self.check_schedule()
    }

    fn check_optimizer(&self) -> Result<(), (String, String)> {
        let unit = |value: f64| (0.0..1.0).contains(&value);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let checks = match &self.optimizer {
            OptimizerConfig::Sgd(SgdConfig {
                lr,
                momentum,
                weight_decay,
                ..
            }) => vec![
                ("lr", *lr, positive(*lr), "above 0"),
                ("momentum", *momentum, unit(*momentum), "in [0, 1)"),
                (
                    "weight-decay",
                    *weight_decay,
                    not_negative(*weight_decay),
                    "0 or more",
                ),
            ],
            OptimizerConfig::Adamw(AdamwConfig {
                lr,
                betas,
                eps,
                weight_decay,
                ..
            }) => vec![
                ("lr", *lr, positive(*lr), "above 0"),
                ("betas", betas[0], unit(betas[0]), "in [0, 1)"),
                ("betas", betas[1], unit(betas[1]), "in [0, 1)"),
                ("eps", *eps, positive(*eps), "above 0"),
                (
                    "weight-decay",
                    *weight_decay,
                    not_negative(*weight_decay),
                    "0 or more",
                ),
            ],
        };
        match checks.into_iter().find(|(_, _, fine, _)| !fine) {
            Some((key, value, _, rule)) => Err((
                format!("optimizer.{key}"),
                format!("{value} is not allowed, it must be {rule}"),
            )),
            None => match &self.optimizer {
                OptimizerConfig::Sgd(sgd) if sgd.nesterov && sgd.momentum == 0.0 => Err((
                    "optimizer.nesterov".into(),
                    "it needs a momentum above 0".into(),
                )),
                _ => Ok(()),
            },
        }
    }

    fn check_schedule(&self) -> Result<(), (String, String)> {
        let bad = |key: &str, problem: String| Err((format!("schedule.{key}"), problem));
        match &self.schedule {
            ScheduleConfig::Cosine(cosine)
                if !(0.0..=self.optimizer.lr()).contains(&cosine.min_lr) =>
            {
                let rule = "is not allowed, it must lie between 0 and the optimizer's lr";
                bad("min-lr", format!("{} {rule}", cosine.min_lr))
            }
            ScheduleConfig::Step(Step { gamma, .. }) if !(*gamma > 0.0 && *gamma <= 1.0) => bad(
                "gamma",
                format!("{gamma} is not allowed, it must lie in (0, 1]"),
            ),
            ScheduleConfig::Step(Step { milestones, .. })
                if !milestones.is_sorted_by(|a, b| a < b) =>
            {
                bad(
                    "milestones",
                    format!("{milestones:?} must rise from one to the next"),
                )
            }
            _ => Ok(()),
        }
    }
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

    #[test]
    fn senseless_values_name_their_key() {
        for (text, key) in [
            ("epochs = 0", "epochs"),
            ("batch-size = 0", "batch-size"),
            ("log-every = 0", "log-every"),
            ("patience = 0", "patience"),
            ("label-smoothing = 1.0", "label-smoothing"),
            ("label-smoothing = nan", "label-smoothing"),
            ("warmup-epochs = 1000", "warmup-epochs"),
            ("clip-norm = 0", "clip-norm"),
            ("clip-norm = inf", "clip-norm"),
            ("[ema]\ndecay = 1.0", "ema.decay"),
            ("[checkpoint]\nkeep-last = 0", "checkpoint.keep-last"),
            ("[optimizer]\nname = 'sgd'\nlr = -1", "optimizer.lr"),
            (
                "[optimizer]\nname = 'sgd'\nmomentum = 1",
                "optimizer.momentum",
            ),
            (
                "[optimizer]\nname = 'sgd'\nmomentum = 0",
                "optimizer.nesterov",
            ),
            (
                "[optimizer]\nname = 'sgd'\nweight-decay = -1e-4",
                "optimizer.weight-decay",
            ),
            (
                "[optimizer]\nname = 'adamw'\nbetas = [0.9, 1.0]",
                "optimizer.betas",
            ),
            ("[optimizer]\nname = 'adamw'\neps = 0", "optimizer.eps"),
            ("[schedule]\nname = 'cosine'\nmin-lr = 1", "schedule.min-lr"),
            ("[schedule]\nname = 'step'\ngamma = 0", "schedule.gamma"),
            (
                "[schedule]\nname = 'step'\nmilestones = [5, 5]",
                "schedule.milestones",
            ),
        ] {
            let config: TrainConfig = toml::from_str(text).unwrap();
            assert_eq!(config.check().unwrap_err().0, key, "{text}");
        }
    }
}
