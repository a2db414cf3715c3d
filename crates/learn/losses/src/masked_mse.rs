//! Mean squared error over active units.

use burn::tensor::Tensor;

/// `mean (f - t)^2 [f > 0 or t > 0]`, the mean over all elements, active or not; the target
/// gets no gradient.
///
/// The feature loss of EED (Lee and Lee, *Students are the Best Teacher: Exit-Ensemble
/// Distillation with Multi-Exits*, 2021; public code hjdw2/Exit-Ensemble-Distillation). For
/// embeddings after a ReLU it equals [`mse`](crate::mse).
///
/// # Shapes
/// - `f`, `target`: equal, output: `[1]`
pub fn masked_mse<const D: usize>(f: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    active_squares(f, target).mean()
}

/// `(f - t)^2 [f > 0 or t > 0]`.
pub(crate) fn active_squares<const D: usize>(f: Tensor<D>, target: Tensor<D>) -> Tensor<D> {
    assert_eq!(
        f.dims(),
        target.dims(),
        "features and targets have one shape"
    );
    let target = target.without_autodiff();
    let still = f.clone().without_autodiff().lower_equal_elem(0.0);
    let still = still.bool_and(target.clone().lower_equal_elem(0.0));
    (f - target).square().mask_fill(still, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device, matrix};

    /// Four embeddings against their mean [1, 0], by hand; EED's sum of them is 5.5.
    #[test]
    fn values_by_hand() {
        let device = device();
        let target = matrix(&[[1.0, 0.0]], &device);
        let cases = [
            ([1.0, -1.0], 0.0),
            ([2.0, 0.0], 0.5),
            ([0.0, -2.0], 0.5),
            ([1.0, 3.0], 4.5),
        ];
        for (f, expected) in cases {
            assert_close(masked_mse(matrix(&[f], &device), target.clone()), expected);
        }
    }
}
