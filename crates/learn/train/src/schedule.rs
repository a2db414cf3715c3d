//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// The learning-rate schedule after the warm-up; the `[train.schedule]` table.
///
/// With base rate `lr`, `S` steps in all, `W` of them warm-up, at step `s >= W`:
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ScheduleConfig {
    /// `min-lr + (lr - min-lr) (1 + cos(pi (s - W) / (S - W))) / 2`, step by step.
    Cosine(Cosine),
    /// `lr * gamma^n` with `n` the number of milestones reached, changed between epochs.
    Step(Step),
    /// `lr`.
    Constant(Constant),
}

/// Cosine annealing (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cosine {
    /// The rate that would be reached one step after the last.
    pub min_lr: f64,
}

/// Multiplication by `gamma` at milestones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Step {
    /// Epochs, counted from 0, from whose beginning the rate is multiplied once more.
    pub milestones: Vec<usize>,
    /// The factor.
    pub gamma: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            milestones: vec![75, 130, 180],
            gamma: 0.1,
        }
    }
}

/// No change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Constant {}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

/// The learning rate as a function of the step, and of nothing else.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The schedule after the warm-up.
    pub config: ScheduleConfig,
    /// The rate at the end of the warm-up.
    pub base: f64,
    /// Steps of linear warm-up: step `s` of them has `base * (s + 1) / warmup`.
    pub warmup: u64,
    /// Steps in all.
    pub steps: u64,
    /// Steps per epoch.
    pub steps_per_epoch: u64,
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.base * (step + 1) as f64 / self.warmup as f64;
        }
        match &self.config {
            ScheduleConfig::Constant(_) => self.base,
            ScheduleConfig::Cosine(Cosine { min_lr }) => {
                let falling = self.steps.saturating_sub(self.warmup).max(1);
                let progress = ((step - self.warmup) as f64 / falling as f64).min(1.0);
                let share = (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0;
                min_lr + (self.base - min_lr) * share
            }
            ScheduleConfig::Step(Step { milestones, gamma }) => {
                let epoch = (step / self.steps_per_epoch.max(1)) as usize;
                let reached = milestones.iter().filter(|m| **m <= epoch).count();
                self.base * gamma.powi(reached as i32)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(config: ScheduleConfig, warmup: u64) -> Schedule {
        Schedule {
            config,
            base: 0.1,
            warmup,
            steps: 100,
            steps_per_epoch: 10,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn cosine_is_that_of_pytorch() {
        // torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=100), lr 0.1, closed form:
        // 0.05 * (1 + cos(pi s / 100)).
        let s = schedule(ScheduleConfig::default(), 0);
        for (step, expected) in [
            (0, 0.1),
            (1, 0.09997532801828658),
            (25, 0.08535533905932738),
            (50, 0.05),
            (99, 2.467198171342e-05),
        ] {
            assert!(close(s.at(step), expected), "{step}: {}", s.at(step));
        }
        let s = schedule(ScheduleConfig::Cosine(Cosine { min_lr: 0.02 }), 0);
        assert!(close(s.at(50), 0.06));
        assert!(close(s.at(100), 0.02));
    }

    #[test]
    fn warm_up_rises_to_the_base_and_the_cosine_starts_there() {
        let s = schedule(ScheduleConfig::default(), 20);
        assert!(close(s.at(0), 0.005));
        assert!(close(s.at(19), 0.1));
        assert!(close(s.at(20), 0.1));
        assert!(close(s.at(60), 0.05));
    }

    #[test]
    fn steps_fall_at_the_beginning_of_the_milestone() {
        let config = ScheduleConfig::Step(Step {
            milestones: vec![3, 5],
            gamma: 0.1,
        });
        let s = schedule(config, 0);
        for (step, expected) in [(29, 0.1), (30, 0.01), (49, 0.01), (50, 0.001), (99, 0.001)] {
            assert!(close(s.at(step), expected), "{step}");
        }
    }

    #[test]
    fn a_run_that_is_all_warm_up_stays_finite() {
        let s = schedule(ScheduleConfig::default(), 100);
        assert!(s.at(99).is_finite() && s.at(100).is_finite());
        let s = schedule(ScheduleConfig::Constant(Constant {}), 0);
        assert_eq!(s.at(7), 0.1);
    }
}
