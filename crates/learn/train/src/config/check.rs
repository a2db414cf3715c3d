//! Checks of the values of `[train]`.

use super::{Best, EmaConfig, TrainConfig};
use crate::optim::{AdamwConfig, OptimizerConfig, SgdConfig};
use crate::schedule::{ScheduleConfig, Step};

impl TrainConfig {
    /// Checks the values; the error is the key below `train` and what is wrong with it.
    ///
    /// # Errors
    /// The first value that is out of range.
    pub fn check(&self) -> Result<(), (String, String)> {
        let at_least_one = [
            ("epochs", self.epochs),
            ("batch-size", self.batch_size),
            ("accumulate", self.accumulate),
            ("replicas", self.replicas),
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
        if self.accumulate > self.batch_size {
            let problem = "parts are more than the images of a batch";
            return Err((
                "accumulate".into(),
                format!("{} {problem}", self.accumulate),
            ));
        }
        if self.accumulate.saturating_mul(self.replicas) > self.batch_size {
            let problem =
                "replicas, each with train.accumulate parts, are more than the images of a batch";
            return Err(("replicas".into(), format!("{} {problem}", self.replicas)));
        }
        if self.sync_batch_norm && self.accumulate > 1 {
            let problem =
                "true goes with train.accumulate = 1 only: parts are not computed at one time";
            return Err(("sync-batch-norm".into(), problem.into()));
        }
        let in_range = |key: &str, value: f64, allowed: bool, rule: &str| {
            if allowed {
                Ok(())
            } else {
                Err((key.to_owned(), format!("{value} is not allowed, {rule}")))
            }
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
        if self.patience.is_some() && self.checkpoint.best == Best::Last {
            let problem = "it needs a best validation: set train.checkpoint.best";
            return Err(("patience".into(), problem.into()));
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
    fn senseless_values_name_their_key() {
        for (text, key) in [
            ("epochs = 0", "epochs"),
            ("batch-size = 0", "batch-size"),
            ("log-every = 0", "log-every"),
            ("accumulate = 0", "accumulate"),
            ("replicas = 0", "replicas"),
            ("replicas = 3\naccumulate = 3\nbatch-size = 8", "replicas"),
            // Their product is 2^64.
            ("replicas = 4611686018427387904\naccumulate = 4", "replicas"),
            ("sync-batch-norm = true\naccumulate = 2", "sync-batch-norm"),
            ("accumulate = 9\nbatch-size = 8", "accumulate"),
            ("patience = 0", "patience"),
            ("patience = 3\n[checkpoint]\nbest = 'last'", "patience"),
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
