//! Stops when consecutive exits agree, as in PABEE.

use serde::{Deserialize, Serialize};

use crate::{
    AnyPolicy, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyError,
    Target, choose, state::exit_if,
};

/// Stops when `patience` exits in a row have agreed with the one before them.
///
/// With `y_k` the prediction of exit `k`, the count is `c_0 = 0` and `c_k = c_{k-1} + 1` where
/// `y_k = y_{k-1}`, else 0; a sample leaves at the first exit with `c_k >= patience`. How sure the
/// exits are does not matter. The earliest exit that can be taken is exit `patience`.
///
/// Zhou, Xu, Ge, McAuley, Xu, Wei, BERT Loses Patience: Fast and Robust Inference with Early Exit,
/// NeurIPS 2020; public code JetRunner/PABEE. That code waits until every sample of a batch is ready;
/// here each sample leaves by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPatience", rename_all = "kebab-case")]
pub struct PatiencePolicy {
    patience: usize,
    num_exits: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawPatience {
    patience: usize,
    #[serde(alias = "num_exits")]
    num_exits: usize,
}

impl TryFrom<RawPatience> for PatiencePolicy {
    type Error = PolicyError;

    fn try_from(raw: RawPatience) -> Result<Self, PolicyError> {
        Self::new(raw.patience, raw.num_exits)
    }
}

impl PatiencePolicy {
    /// Waits for `patience` agreements in a network with `num_exits` exits. A patience of `num_exits`
    /// or more is never met: every sample goes to the last exit.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`], or [`PolicyError::NoPatience`] for a patience of 0.
    pub fn new(patience: usize, num_exits: usize) -> Result<Self, PolicyError> {
        match (patience, num_exits) {
            (_, 0) => Err(PolicyError::NoExits),
            (0, _) => Err(PolicyError::NoPatience),
            _ => Ok(Self {
                patience,
                num_exits,
            }),
        }
    }

    /// How many agreements it waits for.
    pub fn patience(&self) -> usize {
        self.patience
    }
}

impl ExitPolicy for PatiencePolicy {
    fn num_exits(&self) -> usize {
        self.num_exits
    }

    /// The count of agreements; NaN where the softmax is broken, which agrees with nothing.
    fn score(&self, _exit: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        if view.evidence.confidence.is_nan() {
            return f64::NAN;
        }
        match past.last() {
            Some(last) if last.prediction == view.evidence.prediction => {
                if last.score.is_nan() {
                    0.0
                } else {
                    last.score + 1.0
                }
            }
            _ => 0.0,
        }
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        exit_if(score >= self.patience as f64, exit, self.num_exits)
    }
}

impl NamedPolicy for PatiencePolicy {
    const NAME: &'static str = "patience";
    const DOC: &'static str =
        "stop when the given number of consecutive exits agree with the one before (PABEE)";

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        Self::new(num_exits.max(1), num_exits)
    }

    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
        let exits = rows.table().exits();
        let all = (1..=exits).map(|patience| Self::new(patience, exits).map(AnyPolicy::from));
        choose(rows, all.collect::<Result<Vec<_>, _>>()?, macs, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, exit_taken};

    fn taken(patience: usize, predictions: &[usize]) -> usize {
        let policy = PatiencePolicy::new(patience, predictions.len()).unwrap();
        exit_taken(&policy, |exit| {
            let mut logits = [0.0; 4];
            logits[predictions[exit]] = 1.0;
            ExitView {
                evidence: Evidence::from_logits(&logits),
                probabilities: &[],
            }
        })
    }

    /// Counted by hand: the agreements of 1 1 2 2 2 1 are 0 1 0 1 2 0.
    #[test]
    fn agreements_in_a_row() {
        let predictions = [1, 1, 2, 2, 2, 1, 1, 1, 1];
        assert_eq!([1, 2, 3].map(|t| taken(t, &predictions)), [1, 4, 8]);
        assert_eq!(taken(4, &predictions), 8, "the last exit stops always");
        assert_eq!(taken(2, &[0, 1, 0, 1]), 3);
    }

    #[test]
    fn broken_rows_agree_with_nothing() {
        let policy = PatiencePolicy::new(1, 5).unwrap();
        let rows: [&[f32]; 5] = [
            &[f32::NAN, 0.0],
            &[f32::NAN, 0.0],
            &[1.0, 0.0],
            &[2.0, 0.0],
            &[0.0, 9.0],
        ];
        let exit = exit_taken(&policy, |exit| ExitView {
            evidence: Evidence::from_logits(rows[exit]),
            probabilities: &[],
        });
        assert_eq!(exit, 3);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(matches!(
            PatiencePolicy::new(1, 0),
            Err(PolicyError::NoExits)
        ));
        let json = r#"{"patience":0,"num_exits":3}"#;
        let error = serde_json::from_str::<PatiencePolicy>(json).unwrap_err();
        assert!(error.to_string().contains("patience is 0"), "{error}");
    }
}
