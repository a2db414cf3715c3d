//! How long a network takes to each exit: repeated runs, and what is told of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offramp_policies::{AnyPolicy, FixedExit, PolicyError, Readout, Rule};
use serde::Serialize;

use crate::engine::{Engine, EngineError};

/// How often a measurement is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Runs that are not counted: memory is allocated and threads are started in them.
    pub warm_up: usize,
    /// Runs that are counted, at most.
    pub runs: usize,
    /// After this time, runs end when there are at least three.
    pub patience: Option<Duration>,
}

/// Times of repeated runs to each exit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExitTimes {
    /// For each exit its times.
    exits: Vec<Times>,
}

impl ExitTimes {
    /// Measures an engine over images `[count, 3, H, W]`; logits are read as `readout` says.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn measure(
        engine: &mut dyn Engine,
        images: &[f32],
        count: usize,
        at_exit: &[Arc<Rule>],
        repeats: Repeats,
    ) -> Result<Self, EngineError> {
        let mut times = Self::default();
        for _ in 0..repeats.warm_up {
            engine.time_to_exits(images, count, at_exit)?;
        }
        let start = Instant::now();
        let late = |runs: usize| {
            runs >= 3
                && repeats
                    .patience
                    .is_some_and(|patience| start.elapsed() >= patience)
        };
        for run in 0..repeats.runs {
            if late(run) {
                break;
            }
            times.push(&engine.time_to_exits(images, count, at_exit)?);
        }
        Ok(times)
    }

    /// Adds a run: milliseconds to each exit.
    pub fn push(&mut self, ms: &[f64]) {
        self.exits
            .resize(self.exits.len().max(ms.len()), Times::default());
        for (times, &ms) in self.exits.iter_mut().zip(ms) {
            times.push(ms);
        }
    }

    /// The times to each exit, shallowest first.
    pub fn exits(&self) -> &[Times] {
        &self.exits
    }

    /// For each exit the time that half of the runs stay within.
    pub fn median(&self) -> Vec<f64> {
        self.quantile(0.5)
    }

    /// For each exit the time that a share `q` of the runs stays within.
    pub fn quantile(&self, q: f64) -> Vec<f64> {
        self.exits.iter().map(|times| times.quantile(q)).collect()
    }

    /// As [`quantile`](Self::quantile), with no exit earlier than the one before: noise must not say so.
    pub fn rising_quantile(&self, q: f64) -> Vec<f64> {
        let mut latest = 0.0_f64;
        let mut rise = |ms: f64| {
            latest = latest.max(ms);
            latest
        };
        self.quantile(q).into_iter().map(&mut rise).collect()
    }
}

/// For each exit the rule to leave there, logits read as `readout` says.
///
/// # Errors
/// [`PolicyError`] for a network without exits.
pub fn rules_at_exits(exits: usize, readout: &Readout) -> Result<Vec<Arc<Rule>>, PolicyError> {
    let rule = |exit| {
        Ok(Arc::new(Rule {
            policy: AnyPolicy::FixedExit(FixedExit::new(exit, exits)?),
            readout: readout.clone(),
        }))
    };
    (0..exits).map(rule).collect()
}

/// How long runs of one kind took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// Milliseconds, in the order of the runs.
    ms: Vec<f64>,
}

/// What is told of [`Times`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Half of the runs took at most this time, milliseconds.
    pub p50_ms: f64,
    /// 95 % of the runs.
    pub p95_ms: f64,
    /// 99 % of the runs.
    pub p99_ms: f64,
    /// Images in all runs through the time of all runs.
    pub images_per_second: f64,
    /// How many runs.
    pub runs: usize,
}

impl Times {
    /// Adds a run.
    pub fn push(&mut self, ms: f64) {
        self.ms.push(ms);
    }

    /// The time that a share `q` of the runs stays within; 0 for none.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.sorted(), q)
    }

    /// Sums up runs over `batch` images each.
    pub fn summary(&self, batch: usize) -> Summary {
        let sorted = self.sorted();
        let all: f64 = sorted.iter().sum();
        Summary {
            p50_ms: quantile(&sorted, 0.5),
            p95_ms: quantile(&sorted, 0.95),
            p99_ms: quantile(&sorted, 0.99),
            images_per_second: if all > 0.0 {
                (batch * sorted.len()) as f64 * 1e3 / all
            } else {
                0.0
            },
            runs: sorted.len(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// The time that a share `q` of the runs stays within; `times` from fast to slow, 0 for none.
fn quantile(times: &[f64], q: f64) -> f64 {
    let place = (q * times.len() as f64).ceil() as usize;
    let last = times.len().saturating_sub(1);
    times
        .get(place.saturating_sub(1).min(last))
        .copied()
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_hand() {
        let times = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 0.51, 1.0].map(|q| quantile(&times, q)),
            [1.0, 1.0, 2.0, 3.0, 4.0]
        );
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn four_runs_by_hand() {
        let mut times = Times::default();
        for ms in [4.0, 1.0, 2.0, 1.0] {
            times.push(ms);
        }
        let summary = times.summary(16);
        assert_eq!(
            [summary.p50_ms, summary.p95_ms, summary.p99_ms],
            [1.0, 4.0, 4.0]
        );
        assert_eq!(summary.images_per_second, 8000.0);
        assert_eq!(summary.runs, 4);
        assert_eq!(Times::default().summary(1).images_per_second, 0.0);
    }

    #[test]
    fn the_median_of_repeated_runs_and_no_exit_before_the_one_before() {
        let mut times = ExitTimes::default();
        for run in [[3.0, 2.0], [1.0, 9.0], [2.0, 1.0]] {
            times.push(&run);
        }
        assert_eq!(times.median(), [2.0, 2.0]);
        let mut noisy = ExitTimes::default();
        noisy.push(&[2.0, 1.0, 3.0]);
        assert_eq!(noisy.rising_quantile(0.95), [2.0, 2.0, 3.0]);
    }
}
