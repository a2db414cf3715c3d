//! One threshold an exit on a criterion.

use serde::{Deserialize, Serialize};

use crate::{Criterion, Decision, ExitPolicy, Passed, Shown, Thresholds, state::exit_if};

/// Stops at exit `k` when the largest probability is at least `t_k`.
///
/// Huang et al., Multi-Scale Dense Networks for Resource Efficient Image Classification, ICLR 2018.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfidencePolicy {
    /// Probabilities.
    pub thresholds: Thresholds,
}

/// Stops at exit `k` when the entropy of the probabilities is at most `t_k` nats.
///
/// Teerapittayanon, McDanel, Kung, BranchyNet: Fast Inference via Early Exiting from Deep Neural
/// Networks, ICPR 2016.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropyPolicy {
    /// Nats.
    pub thresholds: Thresholds,
}

/// Stops at exit `k` when the two largest probabilities are at least `t_k` apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarginPolicy {
    /// Differences of probabilities.
    pub thresholds: Thresholds,
}

macro_rules! threshold_policy {
    ($policy:ty, $criterion:expr) => {
        impl ExitPolicy for $policy {
            fn num_exits(&self) -> usize {
                self.thresholds.as_slice().len()
            }

            fn score(&self, _exit: usize, shown: &Shown<'_>, _passed: &[Passed]) -> f64 {
                $criterion.score(&shown.evidence)
            }

            fn decide(&self, exit: usize, score: f64) -> Decision {
                let thresholds = self.thresholds.as_slice();
                let met = (thresholds.get(exit))
                    .is_some_and(|&threshold| $criterion.is_met(score, threshold));
                exit_if(met, exit, thresholds.len())
            }

            fn thresholds(&self) -> &[f64] {
                self.thresholds.as_slice()
            }
        }
    };
}

threshold_policy!(ConfidencePolicy, Criterion::Confidence);
threshold_policy!(EntropyPolicy, Criterion::Entropy);
threshold_policy!(MarginPolicy, Criterion::Margin);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyPolicy, Evidence, Trail};

    #[test]
    fn each_policy_reads_its_own_number() {
        let evidence = Evidence {
            confidence: 0.6,
            entropy: 0.9,
            margin: 0.3,
            prediction: 0,
        };
        let shown = Shown {
            evidence,
            probabilities: &[],
        };
        let decide = |criterion, threshold| {
            let policy = AnyPolicy::with_thresholds(criterion, vec![threshold, 0.0]).unwrap();
            Trail::default().step(&policy, &shown)
        };
        for (criterion, met, missed) in [
            (Criterion::Confidence, 0.59, 0.61),
            (Criterion::Entropy, 0.91, 0.89),
            (Criterion::Margin, 0.29, 0.31),
        ] {
            assert_eq!(decide(criterion, met), Decision::Exit, "{criterion}");
            assert_eq!(decide(criterion, missed), Decision::Continue, "{criterion}");
        }
    }
}
