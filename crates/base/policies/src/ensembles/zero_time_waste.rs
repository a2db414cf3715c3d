//! The ensemble of Zero Time Waste.

use serde::{Deserialize, Serialize};

use super::{ExitOutput, normalise};
use crate::PolicyError;

/// The weights of one exit's ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ZtwExit {
    /// `ln` of the weight of each exit so far.
    #[serde(alias = "log_weights")]
    pub log_weights: Vec<f64>,
    /// One number per class.
    pub bias: Vec<f64>,
}

/// A weighted geometric mean of the exits so far:
/// `q_k = softmax(b_k + 1 / (k + 1) sum_{j <= k} exp(w_kj) ln p_j)`.
///
/// Wolczyk, Wojcik, Balazy, Podolak, Tabor, Smieja, Trzcinski, Zero Time Waste: Recycling Predictions
/// in Early Exit Neural Networks, NeurIPS 2021; public code gmum/Zero-Time-Waste. Trained by the `fit` of its
/// [`EnsembleEntry`](crate::EnsembleEntry); the exits that see each other are
/// `cascade = "ztw"` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawZtw")]
pub struct ZtwEnsemble {
    exits: Vec<ZtwExit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawZtw {
    exits: Vec<ZtwExit>,
}

impl TryFrom<RawZtw> for ZtwEnsemble {
    type Error = PolicyError;

    fn try_from(raw: RawZtw) -> Result<Self, PolicyError> {
        Self::new(raw.exits)
    }
}

impl ZtwEnsemble {
    /// One set of weights per exit.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`], [`PolicyError::ExitCount`] when exit `k` does not weigh `k + 1` exits,
    /// [`PolicyError::Classes`] when the exits differ in their classes, and
    /// [`PolicyError::InvalidParameter`] for a number that is not finite.
    pub fn new(exits: Vec<ZtwExit>) -> Result<Self, PolicyError> {
        let first = exits.first().ok_or(PolicyError::NoExits)?;
        let expected = first.bias.len();
        for (exit, weights) in exits.iter().enumerate() {
            if weights.log_weights.len() != exit + 1 {
                return Err(PolicyError::ExitCount {
                    what: "weights of the ensemble",
                    found: weights.log_weights.len(),
                    expected: exit + 1,
                });
            }
            let found = weights.bias.len();
            if found != expected {
                return Err(PolicyError::Classes { found, expected });
            }
            let mut all = weights.log_weights.iter().chain(&weights.bias);
            if let Some(&value) = all.find(|value| !value.is_finite()) {
                return Err(PolicyError::InvalidParameter {
                    what: "ensemble",
                    exit,
                    value,
                });
            }
        }
        Ok(Self { exits })
    }

    /// The weights, shallowest exit first.
    pub fn exits(&self) -> &[ZtwExit] {
        &self.exits
    }

    /// The number of classes.
    pub(super) fn classes(&self) -> Option<usize> {
        self.exits.first().map(|exit| exit.bias.len())
    }

    /// `memory` holds the log-probabilities of all exits so far.
    pub(super) fn add(&self, output: &ExitOutput<'_>, memory: &mut Vec<f64>, out: &mut Vec<f64>) {
        memory.extend_from_slice(output.log_probabilities);
        let ZtwExit { log_weights, bias } = &self.exits[output.exit];
        out.clone_from(bias);
        let exits = log_weights.len() as f64;
        for (w, log_probabilities) in log_weights.iter().zip(memory.chunks_exact(bias.len())) {
            let weight = w.exp() / exits;
            for (sum, ln_p) in out.iter_mut().zip(log_probabilities) {
                *sum += weight * ln_p;
            }
        }
        normalise(out);
    }
}
