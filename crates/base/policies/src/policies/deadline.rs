//! Stops at the deepest exit that answers within a time limit.

use serde::{Deserialize, Serialize};

use crate::{
    Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyError, Target,
    state::exit_if,
};

/// Stops at the deepest exit that is reached in time: at exit `k` when `ms_{k+1} > limit`.
///
/// `ms_k` is the time from the image to the answer of exit `k`, measured on the machine that will
/// answer, with the batch size it will answer with. A high quantile of the measured times, rather
/// than the mean, keeps the promise when the machine is busy. The evidence does not matter, so all
/// samples of a batch leave together.
///
/// Anytime prediction, as in Huang et al., Multi-Scale Dense Networks for Resource Efficient Image
/// Classification, ICLR 2018, section 1, with time in place of multiply-adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawDeadline", rename_all = "kebab-case")]
pub struct DeadlinePolicy {
    exit_ms: Vec<f64>,
    limit_ms: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawDeadline {
    #[serde(alias = "exit_ms")]
    exit_ms: Vec<f64>,
    #[serde(alias = "limit_ms")]
    limit_ms: f64,
}

impl TryFrom<RawDeadline> for DeadlinePolicy {
    type Error = PolicyError;

    fn try_from(raw: RawDeadline) -> Result<Self, PolicyError> {
        Self::new(raw.exit_ms, raw.limit_ms)
    }
}

impl DeadlinePolicy {
    /// Answers within `limit_ms`, where exit `k` answers after `exit_ms[k]`, both milliseconds.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`]; [`PolicyError::InvalidTime`] for a time that is negative, not finite
    /// or shorter than the one of the exit before; [`PolicyError::DeadlineTooShort`] when exit 0 is
    /// too late already.
    pub fn new(exit_ms: Vec<f64>, limit_ms: f64) -> Result<Self, PolicyError> {
        let mut previous = 0.0;
        for (exit, &ms) in exit_ms.iter().enumerate() {
            if !(ms.is_finite() && ms >= previous) {
                return Err(PolicyError::InvalidTime { exit, ms });
            }
            previous = ms;
        }
        let first_ms = *exit_ms.first().ok_or(PolicyError::NoExits)?;
        if !(limit_ms.is_finite() && limit_ms >= first_ms) {
            return Err(PolicyError::DeadlineTooShort { limit_ms, first_ms });
        }
        Ok(Self { exit_ms, limit_ms })
    }

    /// The deepest exit that is reached in time.
    pub fn exit(&self) -> usize {
        let in_time = self.exit_ms.partition_point(|&ms| ms <= self.limit_ms);
        in_time.saturating_sub(1)
    }

    /// The time allowed, milliseconds.
    pub fn limit_ms(&self) -> f64 {
        self.limit_ms
    }
}

impl ExitPolicy for DeadlinePolicy {
    fn num_exits(&self) -> usize {
        self.exit_ms.len()
    }

    fn score(&self, _exit: usize, _shown: &ExitView<'_>, _passed: &[PastExit]) -> f64 {
        0.0
    }

    fn decide(&self, exit: usize, _score: f64) -> Decision {
        exit_if(exit >= self.exit(), exit, self.exit_ms.len())
    }
}

impl NamedPolicy for DeadlinePolicy {
    const NAME: &'static str = "deadline";
    const DOC: &'static str =
        "stop at the deepest exit that answers within a time limit (anytime prediction)";
    const TIMED: bool = true;

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        Self::new(vec![0.0; num_exits], 0.0)
    }

    fn fit(_: &FitRows, _: &[u64], _: Target) -> Result<Fitted, PolicyError> {
        Err(PolicyError::NothingToFit {
            name: Self::NAME,
            why: "it needs measured times and a limit in milliseconds",
        })
    }

    fn from_times(exit_ms: Vec<f64>, limit_ms: f64) -> Result<Self, PolicyError> {
        Self::new(exit_ms, limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, exit_taken};

    #[test]
    fn the_deepest_exit_in_time() {
        let view = ExitView {
            evidence: Evidence::from_logits(&[9.0, 0.0]),
            probabilities: &[],
        };
        for (limit, exit) in [(1.0, 0), (2.4, 0), (2.5, 1), (3.9, 1), (4.0, 2), (1e9, 2)] {
            let policy = DeadlinePolicy::new(vec![1.0, 2.5, 4.0], limit).unwrap();
            assert_eq!(exit_taken(&policy, |_| view), exit, "{limit} ms");
            assert_eq!(policy.exit(), exit);
        }
        // Equal times: the deeper exit costs nothing more.
        assert_eq!(DeadlinePolicy::new(vec![1.0; 3], 1.0).unwrap().exit(), 2);
    }

    #[test]
    fn impossible_times_are_named() {
        let message = |times: &[f64], limit| {
            let error = DeadlinePolicy::new(times.to_vec(), limit).unwrap_err();
            error.to_string()
        };
        assert!(message(&[], 1.0).contains("no exits"));
        assert!(message(&[1.0, 0.5], 9.0).starts_with("exit 1 answers after 0.5 ms"));
        assert!(message(&[f64::NAN], 9.0).contains("NaN"));
        assert!(message(&[-1.0], 9.0).contains("-1"));
        for limit in [0.9, f64::NAN, f64::INFINITY] {
            let error = message(&[1.0, 2.0], limit);
            assert!(error.contains("exit 0 needs 1 ms"), "{error}");
        }
    }
}
