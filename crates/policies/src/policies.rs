//! The policies: one threshold an exit on a criterion, and the fixed exit.

use serde::{Deserialize, Serialize};

use crate::{Criterion, Decision, Evidence, ExitPolicy, PolicyError, Thresholds};

/// `Exit` when the evidence meets this exit's threshold, and at the last exit.
fn decide_by_threshold(
    criterion: Criterion,
    thresholds: &Thresholds,
    exit: usize,
    evidence: &Evidence,
) -> Decision {
    let thresholds = thresholds.as_slice();
    if exit + 1 >= thresholds.len() || criterion.is_met(evidence, thresholds[exit]) {
        Decision::Exit
    } else {
        Decision::Continue
    }
}

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

/// Stops at one exit, whatever the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFixedExit")]
pub struct FixedExit {
    exit: usize,
    num_exits: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFixedExit {
    exit: usize,
    num_exits: usize,
}

impl TryFrom<RawFixedExit> for FixedExit {
    type Error = PolicyError;

    fn try_from(raw: RawFixedExit) -> Result<Self, PolicyError> {
        Self::new(raw.exit, raw.num_exits)
    }
}

impl FixedExit {
    /// Stops at `exit` of a network with `num_exits` exits.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`] or [`PolicyError::NoSuchExit`].
    pub fn new(exit: usize, num_exits: usize) -> Result<Self, PolicyError> {
        if num_exits == 0 {
            return Err(PolicyError::NoExits);
        }
        if exit >= num_exits {
            return Err(PolicyError::NoSuchExit { exit, num_exits });
        }
        Ok(Self { exit, num_exits })
    }

    /// The exit at which every sample stops.
    pub fn exit(&self) -> usize {
        self.exit
    }
}

impl ExitPolicy for ConfidencePolicy {
    fn num_exits(&self) -> usize {
        self.thresholds.as_slice().len()
    }

    fn decide(&self, exit: usize, evidence: &Evidence) -> Decision {
        decide_by_threshold(Criterion::Confidence, &self.thresholds, exit, evidence)
    }

    fn thresholds(&self) -> &[f64] {
        self.thresholds.as_slice()
    }
}

impl ExitPolicy for EntropyPolicy {
    fn num_exits(&self) -> usize {
        self.thresholds.as_slice().len()
    }

    fn decide(&self, exit: usize, evidence: &Evidence) -> Decision {
        decide_by_threshold(Criterion::Entropy, &self.thresholds, exit, evidence)
    }

    fn thresholds(&self) -> &[f64] {
        self.thresholds.as_slice()
    }
}

impl ExitPolicy for MarginPolicy {
    fn num_exits(&self) -> usize {
        self.thresholds.as_slice().len()
    }

    fn decide(&self, exit: usize, evidence: &Evidence) -> Decision {
        decide_by_threshold(Criterion::Margin, &self.thresholds, exit, evidence)
    }

    fn thresholds(&self) -> &[f64] {
        self.thresholds.as_slice()
    }
}

impl ExitPolicy for FixedExit {
    fn num_exits(&self) -> usize {
        self.num_exits
    }

    fn decide(&self, exit: usize, _evidence: &Evidence) -> Decision {
        if exit >= self.exit {
            Decision::Exit
        } else {
            Decision::Continue
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_taken;

    #[test]
    fn each_policy_reads_its_own_number() {
        let evidence = Evidence {
            confidence: 0.6,
            entropy: 0.9,
            margin: 0.3,
            prediction: 0,
        };
        let list = |t: f64| Thresholds::new(vec![t, 0.0]).unwrap();
        let confidence = |t| {
            ConfidencePolicy {
                thresholds: list(t),
            }
            .decide(0, &evidence)
        };
        let entropy = |t| {
            EntropyPolicy {
                thresholds: list(t),
            }
            .decide(0, &evidence)
        };
        let margin = |t| {
            MarginPolicy {
                thresholds: list(t),
            }
            .decide(0, &evidence)
        };
        assert_eq!(
            (confidence(0.59), confidence(0.61)),
            (Decision::Exit, Decision::Continue)
        );
        assert_eq!(
            (entropy(0.91), entropy(0.89)),
            (Decision::Exit, Decision::Continue)
        );
        assert_eq!(
            (margin(0.29), margin(0.31)),
            (Decision::Exit, Decision::Continue)
        );
    }

    #[test]
    fn fixed_exit_stops_exactly_there() {
        let evidence = Evidence::from_logits(&[9.0, 0.0]);
        for exit in 0..3 {
            assert_eq!(
                exit_taken(&FixedExit::new(exit, 3).unwrap(), |_| evidence),
                exit
            );
        }
        assert!(matches!(FixedExit::new(0, 0), Err(PolicyError::NoExits)));
        assert!(matches!(
            FixedExit::new(3, 3),
            Err(PolicyError::NoSuchExit {
                exit: 3,
                num_exits: 3
            })
        ));
        let error = serde_json::from_str::<FixedExit>(r#"{"exit":3,"num_exits":3}"#).unwrap_err();
        assert!(
            error.to_string().contains("exit 3 does not exist"),
            "{error}"
        );
    }
}
