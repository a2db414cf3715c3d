//! Variational information distillation.

use burn::tensor::Tensor;

/// `mean_nchw 1/2 [ (mu_nchw - t_nchw)^2 / v_c + log v_c ]`: the negative logarithm, up to a
/// constant, of a normal distribution around `mu` with a variance per channel, at the teacher's map
/// (Ahn et al., *Variational Information Distillation for Knowledge Transfer*, CVPR 2019). A
/// lower bound of the information that the two share grows as it falls. The teacher gets no
/// gradient; the variance does.
///
/// # Shapes
/// - `mean`, `teacher`: `[N, C, H, W]`, `variance`: `[C]` above 0, output: `[1]`, in nats
pub fn variational_information(
    mean: Tensor<4>,
    teacher: Tensor<4>,
    variance: Tensor<1>,
) -> Tensor<1> {
    assert_eq!(
        mean.dims(),
        teacher.dims(),
        "maps of one shape are compared"
    );
    let [channels] = variance.dims();
    let variance = variance.reshape([1, channels, 1, 1]);
    let squares = (mean - teacher.without_autodiff()).square();
    ((squares / variance.clone() + variance.log()) * 0.5).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device};

    /// `1/2 ((1 - 3)^2 / 5 + log 5)`.
    #[test]
    fn value_by_hand() {
        let map = |x: f32| Tensor::<4>::full([1, 1, 1, 1], x, &device());
        let variance = Tensor::from_floats([5.0], &device());
        let loss = variational_information(map(1.0), map(3.0), variance);
        assert_close(loss, 1.204719);
    }
}
