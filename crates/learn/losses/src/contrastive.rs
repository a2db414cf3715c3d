//! Contrastive representation distillation.

use burn::tensor::Tensor;
use burn::tensor::activation::softplus;

/// Noise-contrastive estimation of one positive among `K` negatives, the mean over the batch:
///
/// ```text
/// L = -mean_n [ log h(a_n) + sum_k w_nk log (1 - h(b_nk)) ]
/// h(x) = e^x / (e^x + K / M) = sigmoid(x - log(K / M))
/// ```
///
/// `a` and `b` are logarithms of the normalised scores, and `M` is the number of samples that the
/// negatives are drawn from (Tian, Krishnan and Isola, *Contrastive Representation
/// Distillation*, ICLR 2020). Logarithms of `h` are softplus functions, so no score is too
/// large or too small.
///
/// # Shapes
/// - `right`: `[N, 1]`, `wrong`: `[N, K]`, `weights`: `[N, K]`, constants
/// - `odds`: `K / M`, above 0; output: `[1]`, in nats
pub fn contrastive(right: Tensor<2>, wrong: Tensor<2>, weights: Tensor<2>, odds: f64) -> Tensor<1> {
    let shift = odds.ln();
    let missed = softplus(-(right - shift), 1.0).sum_dim(1);
    let fooled = (softplus(wrong - shift, 1.0) * weights.without_autodiff()).sum_dim(1);
    (missed + fooled).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device, matrix};

    /// By hand: K / M = 2; `h(log 6) = 6 / 8`, `h(log 1) = 1 / 3`, `h(log 2) = 1 / 2`, the last
    /// with weight 3.
    #[test]
    fn value_by_hand() {
        let device = device();
        let right = matrix(&[[6.0_f32.ln()]], &device);
        let wrong = matrix(&[[0.0, 2.0_f32.ln()]], &device);
        let loss = contrastive(right, wrong, matrix(&[[1.0, 3.0]], &device), 2.0);
        let expected = -(0.75_f64.ln() + (2.0 / 3.0_f64).ln() + 3.0 * 0.5_f64.ln());
        assert_close(loss, expected);
    }
}
