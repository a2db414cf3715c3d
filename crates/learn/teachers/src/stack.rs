//! Several exits as one tensor.

use burn::tensor::Tensor;

/// Stacks the outputs of exits: `K` tensors `[N, D]` to `[K, N, D]`.
///
/// # Panics
/// When there is none, or when shapes differ.
pub fn stack(exits: impl IntoIterator<Item = Tensor<2>>) -> Tensor<3> {
    Tensor::stack(exits.into_iter().collect(), 0)
}
