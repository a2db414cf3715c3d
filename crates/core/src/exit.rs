//! What a forward pass through all exits returns.

use burn::tensor::Tensor;

/// Output of one exit.
#[derive(Clone, Debug)]
pub struct ExitOutput {
    /// What the last linear layer of the exit sees, `[N, D]`.
    pub embedding: Tensor<2>,
    /// Unnormalised class scores, `[N, C]`.
    pub logits: Tensor<2>,
}

/// Outputs of all exits of one batch, shallowest first.
#[derive(Clone, Debug)]
pub struct ExitOutputs {
    /// One entry an exit.
    pub exits: Vec<ExitOutput>,
    /// The backbone's map that each exit was attached to, `[N, C_k, H_k, W_k]`.
    pub maps: Vec<Tensor<4>>,
}

impl ExitOutputs {
    /// Number of exits.
    pub fn len(&self) -> usize {
        self.exits.len()
    }

    /// Whether there is no exit.
    pub fn is_empty(&self) -> bool {
        self.exits.is_empty()
    }

    /// Logits of every exit, shallowest first.
    pub fn logits(&self) -> impl DoubleEndedIterator<Item = &Tensor<2>> + ExactSizeIterator {
        self.exits.iter().map(|exit| &exit.logits)
    }

    /// Embeddings of every exit, shallowest first.
    pub fn embeddings(&self) -> impl DoubleEndedIterator<Item = &Tensor<2>> + ExactSizeIterator {
        self.exits.iter().map(|exit| &exit.embedding)
    }
}
