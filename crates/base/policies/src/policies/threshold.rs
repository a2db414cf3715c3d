//! Thresholds on the confidence, the entropy or the margin, one per exit.

use serde::{Deserialize, Serialize};

use crate::{
    AnyPolicy, Criterion, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit,
    PolicyError, Target, Thresholds, state::exit_if,
};

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
    ($policy:ident, $criterion:expr, $summary:literal) => {
        impl ExitPolicy for $policy {
            fn num_exits(&self) -> usize {
                self.thresholds.as_slice().len()
            }

            fn score(&self, _exit: usize, view: &ExitView<'_>, _passed: &[PastExit]) -> f64 {
                $criterion.score(&view.evidence)
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

        impl NamedPolicy for $policy {
            const NAME: &'static str = $criterion.name();
            const DOC: &'static str = $summary;
            const CRITERION: Option<Criterion> = Some($criterion);

            fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
                let thresholds = Thresholds::new(vec![$criterion.never(); num_exits])?;
                Ok(Self { thresholds })
            }

            fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
                crate::fit(rows, $criterion, macs, target)
            }
        }
    };
}

threshold_policy!(
    ConfidencePolicy,
    Criterion::Confidence,
    "stop when the largest probability reaches the exit's threshold (MSDNet)"
);
threshold_policy!(
    EntropyPolicy,
    Criterion::Entropy,
    "stop when the entropy falls to the exit's threshold, in nats (BranchyNet)"
);
threshold_policy!(
    MarginPolicy,
    Criterion::Margin,
    "stop when the two largest probabilities are far enough apart"
);

impl AnyPolicy {
    /// The threshold policy on `criterion`, one threshold per exit in the criterion's own units.
    ///
    /// # Errors
    /// Those of [`Thresholds::new`].
    pub fn with_thresholds(
        criterion: Criterion,
        thresholds: Vec<f64>,
    ) -> Result<Self, PolicyError> {
        let thresholds = Thresholds::new(thresholds)?;
        Ok(match criterion {
            Criterion::Confidence => ConfidencePolicy { thresholds }.into(),
            Criterion::Entropy => EntropyPolicy { thresholds }.into(),
            Criterion::Margin => MarginPolicy { thresholds }.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, PolicyState};

    #[test]
    fn each_policy_reads_its_own_number() {
        let evidence = Evidence {
            confidence: 0.6,
            entropy: 0.9,
            margin: 0.3,
            prediction: 0,
        };
        let view = ExitView {
            evidence,
            probabilities: &[],
        };
        let decide = |criterion, threshold| {
            let policy = AnyPolicy::with_thresholds(criterion, vec![threshold, 0.0]).unwrap();
            PolicyState::default().step(&policy, &view)
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
