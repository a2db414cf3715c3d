//! Kullback-Leibler divergence of softened logits.

use burn::tensor::Tensor;

use crate::{Distillation, SoftForm};

/// `KL_T(s || t) = T^2 mean_n sum_c p_c (log p_c - log q_c)` with `p = softmax(t / T)` and
/// `q = softmax(s / T)`: the KL form of [`Distillation`] for one student and one target, which
/// gets no gradient. 0 when the logits differ by a constant only.
///
/// PyTorch's twin is `T * T * F.kl_div(log_softmax(s / T), softmax(t / T),
/// reduction="batchmean")`; its default reduction, `"mean"`, divides by `C` as well.
///
/// # Shapes
/// - `student`, `target`: `[N, C]`, output: `[1]`, in nats
pub fn kl_divergence(student: Tensor<2>, target: Tensor<2>, temperature: f64) -> Tensor<1> {
    Distillation::new(temperature, SoftForm::Kl).pair(student, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Z, assert_close, device, matrix};

    /// `KL_4(z1 || z3)` and `KL_3(z1 || z3)`, also computed by PyTorch.
    #[test]
    fn values_by_the_formula() {
        let device = device();
        let (z1, z3) = (matrix(&[Z[0]], &device), matrix(&[Z[2]], &device));
        assert_close(kl_divergence(z1.clone(), z3.clone(), 4.0), 0.124105);
        assert_close(kl_divergence(z1, z3, 3.0), 0.124800);
    }

    #[test]
    fn is_the_mean_over_the_batch() {
        let device = device();
        let student = matrix(&[Z[0], Z[1]], &device);
        let target = matrix(&[Z[2], Z[1]], &device);
        assert_close(kl_divergence(student, target, 4.0), 0.124105 / 2.0);
    }

    #[test]
    fn huge_logits_stay_finite() {
        let device = device();
        let student = matrix(&[[1e4, 0.0, -1e4]], &device).require_grad();
        let target = matrix(&[[-1e4, 0.0, 1e4]], &device);
        let loss = kl_divergence(student.clone(), target, 4.0);
        // p is one-hot at the last class, where log q = -2e4 / 4.
        assert_close(loss.clone() / 1e4, 16.0 * 0.5);
        let gradient = student.grad(&loss.backward()).unwrap();
        assert!(gradient.is_finite().all().into_scalar::<bool>());
    }
}
