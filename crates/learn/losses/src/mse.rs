//! Mean squared error.

use burn::tensor::Tensor;

/// `mean (x - t)^2` over all elements; the target gets no gradient.
///
/// PyTorch's `F.mse_loss`, except that shapes must agree: silently broadcasting `[N, D, 1, 1]`
/// against `[N, D]` is what makes the released MLCSD-Net pull every unit to one global mean.
///
/// # Shapes
/// - `x`, `target`: equal, output: `[1]`
pub fn mse<const D: usize>(x: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    assert_eq!(x.dims(), target.dims(), "mse compares tensors of one shape");
    (x - target.without_autodiff()).square().mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device, matrix};

    /// Four exits against their mean, summed as in EED.
    #[test]
    fn values_against_the_mean() {
        let device = device();
        let exits = [
            [1.0, 0.0, -1.0],
            [2.0, 0.5, -1.0],
            [3.0, 1.0, 0.0],
            [0.0, 2.0, 0.0],
        ];
        let mean = matrix(&[[1.5, 0.875, -0.5]], &device);
        let sum = exits
            .map(|z| mse(matrix(&[z], &device), mean.clone()))
            .into_iter()
            .reduce(|sum, loss| sum + loss);
        assert_close(sum.unwrap(), 2.729167);
    }

    /// By hand: (.25 + .25 + 1 + 1) / 4.
    #[test]
    fn compares_sample_by_sample() {
        let device = device();
        let f = matrix(&[[1.0, 2.0], [3.0, -1.0]], &device);
        let g = matrix(&[[0.5, 1.5], [2.0, 0.0]], &device);
        assert_close(mse(f, g), 0.625);
    }
}
