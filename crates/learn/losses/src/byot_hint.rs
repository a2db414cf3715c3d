//! The feature loss of BYOT.

use burn::tensor::Tensor;

use crate::masked_mse::active_squares;

/// `sum (f - t)^2 [f > 0 or t > 0]`, the sum over batch and channels; the target gets no
/// gradient.
///
/// From the public port of Zhang et al., *Be Your Own Teacher*, ICCV 2019
/// (luanyunteng/pytorch-be-your-own-teacher). It is a sum, not a mean: hence the weight 1e-6
/// there, and a size that grows with the batch.
///
/// # Shapes
/// - `f`, `target`: equal, output: `[1]`
pub fn byot_hint<const D: usize>(f: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    active_squares(f, target).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device, matrix};

    /// By hand: (1-3)^2 + (-1-2)^2 in the first row; the units of the second are 0 and
    /// below on both sides, except one: (4 - -1)^2.
    #[test]
    fn sums_over_batch_and_active_units() {
        let device = device();
        let f = matrix(&[[1.0, -1.0], [-2.0, 4.0]], &device);
        let target = matrix(&[[3.0, 2.0], [0.0, -1.0]], &device);
        assert_close(byot_hint(f, target), 4.0 + 9.0 + 25.0);
    }
}
