//! Times of repeated runs, summed up.

use offramp_infer::quantile;
use serde::Serialize;

/// How long runs of one kind took.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Milliseconds, in the order of the runs.
    ms: Vec<f64>,
}

/// A summary of [`Times`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The median, milliseconds.
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

    /// Sums up runs over `batch` images each.
    pub fn summary(&self, batch: usize) -> Summary {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
