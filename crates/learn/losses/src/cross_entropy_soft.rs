//! Cross-entropy with softened logits as the target.

use burn::tensor::Tensor;

use crate::{Distillation, SoftForm};

/// `-T^2 mean_n sum_c p_c log q_c` with `p = softmax(t / T)` and `q = softmax(s / T)`: the
/// cross-entropy form of [`Distillation`] for one student and one target, which gets no
/// gradient. [`kl_divergence`](crate::kl_divergence) plus `T^2` times the target's entropy.
///
/// The form that the public code of BYOT, EED, and Phuong and Lampert uses.
///
/// # Shapes
/// - `student`, `target`: `[N, C]`, output: `[1]`, in nats
pub fn cross_entropy_soft(student: Tensor<2>, target: Tensor<2>, temperature: f64) -> Tensor<1> {
    Distillation::new(temperature, SoftForm::CrossEntropy).pair(student, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Z, assert_close, device, matrix};

    /// `xent_3(z1, z3) = KL_3(z1 || z3)` plus 9 times the entropy of `softmax(z3 / 3)`.
    #[test]
    fn value_by_the_formula() {
        let device = device();
        let (z1, z3) = (matrix(&[Z[0]], &device), matrix(&[Z[2]], &device));
        assert_close(cross_entropy_soft(z1, z3, 3.0), 9.209798);
    }
}
