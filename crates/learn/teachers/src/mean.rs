//! The mean of all exits as the only teacher.

use burn::tensor::Tensor;
use offramp_core::ExitOutputs;

use crate::{Level, Teacher};

/// The mean of all exits teaches: `t = (1/K) sum_j z_j`, the mean of logits, not of
/// probabilities.
///
/// Of EED (Lee and Lee, *Students are the Best Teacher: Exit-Ensemble Distillation with
/// Multi-Exits*, arXiv 2104.00299, 2021).
#[derive(Clone, Copy, Debug)]
pub struct MeanEnsemble {
    /// Number of exits `K`.
    pub exits: usize,
}

impl Teacher for MeanEnsemble {
    fn targets(&self, outputs: &ExitOutputs, level: Level) -> Tensor<3> {
        level.constants(outputs).mean_dim(0)
    }

    fn weights(&self) -> Vec<Vec<f32>> {
        vec![vec![1.0 / self.exits as f32; self.exits]]
    }
}
