//! A fixed ensemble with larger weights for deep exits.

use burn::tensor::{Tensor, TensorData};
use offramp_core::ExitOutputs;

use crate::{Level, Mixture, Teacher};

/// An ensemble with fixed weights teaches: `t = sum_j w_j z_j`, `w_j = b^j / sum_i b^i`, exits
/// counted from the shallowest.
///
/// Of BEED (public code cloak-s/LOTH, `BEED_train.py`), with `b = 1.6`.
#[derive(Clone, Debug)]
pub struct WeightedEnsemble {
    weights: Vec<f32>,
}

impl WeightedEnsemble {
    /// Weights of `exits` exits that grow by the factor `growth > 0` from exit to exit.
    pub fn geometric(growth: f64, exits: usize) -> Self {
        let powers: Vec<f64> = (0..exits).map(|j| growth.powi(j as i32)).collect();
        let sum: f64 = powers.iter().sum();
        Self {
            weights: powers.iter().map(|power| (power / sum) as f32).collect(),
        }
    }
}

impl Teacher for WeightedEnsemble {
    fn targets(&self, outputs: &ExitOutputs, level: Level) -> Tensor<3> {
        let exits = level.constants(outputs);
        let data = TensorData::new(self.weights.clone(), [1, self.weights.len()]);
        let weights = Tensor::from_data(data, (&exits.device(), exits.dtype()));
        Mixture::Fixed(weights).of(exits)
    }

    fn weights(&self) -> Vec<Vec<f32>> {
        vec![self.weights.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1.6^j / sum_i 1.6^i` of BEED's public code.
    #[test]
    fn weights_of_beed() {
        let teacher = WeightedEnsemble::geometric(1.6, 4);
        let expected = [0.108038, 0.172861, 0.276577, 0.442524];
        for (weight, expected) in teacher.weights().concat().into_iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6, "{weight} {expected}");
        }
    }
}
