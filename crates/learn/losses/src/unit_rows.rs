//! Rows of length 1.

use burn::tensor::Tensor;

/// `x_n / ||x_n||` for every row.
///
/// A row of zeros (length below `1e-12`) stays as it is, and its gradient passes through
/// unchanged: PyTorch's `F.normalize` multiplies it by `1e12` there.
///
/// # Shapes
/// - `x` and output: `[N, D]`
pub fn unit_rows(x: Tensor<2>) -> Tensor<2> {
    let squares = x.clone().square().sum_dim(1);
    x / positive_sqrt(squares, 1.0)
}

/// `sqrt(x)`, and `instead` without a gradient where `x` is at most `1e-24`, for there the
/// gradient of the root is no number to work with.
pub(crate) fn positive_sqrt<const D: usize>(x: Tensor<D>, instead: f64) -> Tensor<D> {
    let zero = x.clone().without_autodiff().lower_equal_elem(1e-24);
    let root = x.mask_fill(zero.clone(), 1.0).sqrt();
    match instead {
        1.0 => root,
        value => root.mask_fill(zero, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_all_close, device, matrix, values};

    #[test]
    fn zero_rows_stay_and_have_a_gradient() {
        let x = matrix(&[[3.0, -4.0], [0.0, 0.0]], &device()).require_grad();
        let unit = unit_rows(x.clone());
        assert_all_close(unit.clone(), &[0.6, -0.8, 0.0, 0.0]);
        let gradient = values(x.grad(&unit.sum().backward()).unwrap());
        assert_eq!(gradient[2..], [1.0, 1.0]);
    }
}
