//! The trait of teachers within a network.

use burn::tensor::Tensor;
use offramp_core::ExitOutputs;

use crate::stack;

/// Which of an exit's two outputs the targets are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Class scores, `[N, C]`.
    Logits,
    /// The input of the last linear layer, `[N, D]`; all exits must have the same width `D`.
    Embeddings,
}

impl Level {
    /// The outputs of all exits at this level as one constant, `[K, N, D]`.
    pub fn constants(self, outputs: &ExitOutputs) -> Tensor<3> {
        let constant = |x: &Tensor<2>| x.clone().without_autodiff();
        match self {
            Self::Logits => stack(outputs.logits().map(constant)),
            Self::Embeddings => stack(outputs.embeddings().map(constant)),
        }
    }
}

/// Targets for exits, computed from the network's own outputs: `R` teachers, often one.
pub trait Teacher {
    /// The targets of all teachers.
    ///
    /// # Shapes
    /// - output: `[R, N, C]` for logits, `[R, N, D]` for embeddings
    fn targets(&self, outputs: &ExitOutputs, level: Level) -> Tensor<3>;

    /// The weight of each exit in each teacher, one row per teacher. Each row sums to 1.
    fn weights(&self) -> Vec<Vec<f32>>;
}

/// The rows of a matrix of weights, on the host.
pub(crate) fn rows(weights: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, columns] = weights.dims();
    let values: Vec<f32> = weights.into_data().iter::<f32>().collect();
    values.chunks(columns).map(<[f32]>::to_vec).collect()
}
