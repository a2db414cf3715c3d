//! The product of the exits' clipped logits.

use serde::{Deserialize, Serialize};

use super::{ExitOutput, normalise};
use crate::PolicyError;

/// The product of the exits' clipped logits: `q_k(c) ~ prod_{j <= k} max(z_j(c), 0)^{w_j}`.
///
/// A class that any exit gives a logit of 0 or less is out for good, so that deeper exits only
/// narrow the choice and the answer grows surer. When all classes are out, `q_k` is the exit's own
/// softmax. A temperature multiplies all classes of an exit alike and so changes nothing else.
///
/// Where all logits of an exit are positive, nothing is out; where most are negative, a few classes
/// share the mass. The confidence is not calibrated.
///
/// "Product Anytime" of Jazbec, Allingham, Zhang, Nalisnick, Towards Anytime Classification in
/// Early-Exit Architectures by Enforcing Conditional Monotonicity, NeurIPS 2023; public code
/// metodj/AnytimeClassification (`anytime_product` with `fall_back`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawProduct")]
pub struct ProductEnsemble {
    weights: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProduct {
    weights: Vec<f64>,
}

impl TryFrom<RawProduct> for ProductEnsemble {
    type Error = PolicyError;

    fn try_from(raw: RawProduct) -> Result<Self, PolicyError> {
        Self::new(raw.weights)
    }
}

impl ProductEnsemble {
    /// One weight per exit.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`], or [`PolicyError::InvalidParameter`] for a weight that is not positive
    /// and finite.
    pub fn new(weights: Vec<f64>) -> Result<Self, PolicyError> {
        if weights.is_empty() {
            return Err(PolicyError::NoExits);
        }
        match weights.iter().position(|w| !(w.is_finite() && *w > 0.0)) {
            Some(exit) => Err(PolicyError::InvalidParameter {
                what: "product ensemble",
                exit,
                value: weights[exit],
            }),
            None => Ok(Self { weights }),
        }
    }

    /// The published weights, `w_j = (j + 1) / K` for exit `j` from 0 of `K`.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`].
    pub fn rising(exits: usize) -> Result<Self, PolicyError> {
        Self::new((1..=exits).map(|j| j as f64 / exits as f64).collect())
    }

    /// The weights, shallowest exit first.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `memory` holds `sum_j w_j ln max(z_j, 0)`.
    pub(super) fn add(&self, output: &ExitOutput<'_>, memory: &mut Vec<f64>, out: &mut Vec<f64>) {
        memory.resize(output.logits.len(), 0.0);
        for (sum, &z) in memory.iter_mut().zip(output.logits) {
            *sum += self.weights[output.exit] * f64::from(z).max(0.0).ln();
        }
        out.clone_from(memory);
        if out.iter().all(|&w| w == f64::NEG_INFINITY) {
            out.clear();
            out.extend_from_slice(output.log_probabilities);
        } else {
            normalise(out);
        }
    }
}
