//! Numbers of the softmax that thresholds compare with.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Evidence, PolicyError};

/// The number that is compared with a threshold.
///
/// Thresholds are written in the criterion's own units, so that a person can read them:
///
/// | criterion | a sample leaves at exit `k` when | source |
/// |---|---|---|
/// | `confidence` | `p(1) >= t_k` | Huang et al., Multi-Scale Dense Networks, ICLR 2018 |
/// | `entropy` | `H(p) <= t_k`, nats | Teerapittayanon et al., BranchyNet, ICPR 2016 |
/// | `margin` | `p(1) - p(2) >= t_k` | |
///
/// Searches work on [`score`](Self::score), which is oriented alike for all: larger = stop earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The largest probability.
    Confidence,
    /// The entropy of the probabilities, nats.
    Entropy,
    /// The largest probability minus the second largest.
    Margin,
}

/// Beyond every score: probabilities lie in [0, 1], entropies in [0, ln C].
///
/// A finite number, the one MSDNet's code writes, keeps fitted thresholds plain numbers in JSON.
const BEYOND: f64 = 1e8;

impl Criterion {
    /// Every criterion.
    pub const ALL: [Self; 3] = [Self::Confidence, Self::Entropy, Self::Margin];

    /// The name in recipes, on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Entropy => "entropy",
            Self::Margin => "margin",
        }
    }

    /// All names, for messages.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The evidence as one number, oriented so that larger means stop earlier.
    pub fn score(self, evidence: &Evidence) -> f64 {
        match self {
            Self::Confidence => evidence.confidence.into(),
            Self::Entropy => -f64::from(evidence.entropy),
            Self::Margin => evidence.margin.into(),
        }
    }

    /// Whether a [`score`](Self::score) meets `threshold` (in the criterion's own units); a tie does,
    /// NaN does not.
    pub fn is_met(self, score: f64, threshold: f64) -> bool {
        score >= self.flip(threshold)
    }

    /// The threshold that no evidence meets: 1e8, and -1e8 nats for the entropy.
    pub fn never(self) -> f64 {
        self.flip(BEYOND)
    }

    /// The threshold that all evidence meets (NaN excepted): -1e8, and 1e8 nats for the entropy.
    pub fn always(self) -> f64 {
        self.flip(-BEYOND)
    }

    /// Between a threshold in the criterion's own units and one on its score; its own inverse.
    pub(crate) fn flip(self, threshold: f64) -> f64 {
        match self {
            Self::Entropy => -threshold,
            Self::Confidence | Self::Margin => threshold,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Criterion {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        Self::ALL
            .into_iter()
            .find(|criterion| criterion.name() == name)
            .ok_or_else(|| PolicyError::UnknownCriterion {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for criterion in Criterion::ALL {
            assert_eq!(
                criterion.to_string().parse::<Criterion>().unwrap(),
                criterion
            );
            let json = serde_json::to_string(&criterion).unwrap();
            assert_eq!(json, format!("\"{criterion}\""));
            assert_eq!(serde_json::from_str::<Criterion>(&json).unwrap(), criterion);
        }
        let error = "patience".parse::<Criterion>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`patience` is no criterion; use one of confidence, entropy, margin"
        );
    }

    #[test]
    fn a_surer_row_scores_higher_and_meets_ties() {
        let sure = Evidence::from_logits(&[4.0, 0.0, 0.0]);
        let unsure = Evidence::from_logits(&[1.0, 0.0, 0.0]);
        let broken = Evidence::from_logits(&[f32::NAN, 0.0]);
        for criterion in Criterion::ALL {
            let is_met =
                |evidence, threshold| criterion.is_met(criterion.score(evidence), threshold);
            assert!(
                criterion.score(&sure) > criterion.score(&unsure),
                "{criterion}"
            );
            let threshold = criterion.flip(criterion.score(&sure));
            assert!(is_met(&sure, threshold), "{criterion}: a tie stops");
            assert!(!is_met(&unsure, threshold), "{criterion}");
            assert!(is_met(&unsure, criterion.always()), "{criterion}");
            assert!(!is_met(&sure, criterion.never()), "{criterion}");
            assert!(!is_met(&broken, criterion.always()), "{criterion}");
            assert!(!is_met(&broken, f64::NAN), "{criterion}");
        }
    }
}
