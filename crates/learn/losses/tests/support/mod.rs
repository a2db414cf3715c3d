//! Shared by the tests of several crates: reference logits, comparisons, and gradients by finite differences.

#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use burn::tensor::{Device, Tensor, TensorData};
use offramp_core::default_device;

/// The reference logits `z1`, `z2`, `z3` of the numeric tests; the label is 0. The expected numbers come from
/// `crates/learn/methods/tests/python/golden.py`, which has the formulas.
pub(crate) const Z: [[f32; 3]; 3] = [[1.0, 0.0, -1.0], [2.0, 0.5, -1.0], [3.0, 1.0, 0.0]];

/// The CPU with gradients.
pub(crate) fn device() -> Device {
    default_device().unwrap().autodiff()
}

pub(crate) fn matrix<const C: usize>(rows: &[[f32; C]], device: &Device) -> Tensor<2> {
    let data = TensorData::new(rows.concat(), [rows.len(), C]);
    Tensor::from_data(data, device)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("float32")
}

/// Compares with a number of six decimals, tolerance 1e-5.
#[track_caller]
pub(crate) fn assert_close(actual: Tensor<1>, expected: f64) {
    assert_all_close(actual, &[expected]);
}

#[track_caller]
pub(crate) fn assert_all_close<const D: usize>(actual: Tensor<D>, expected: &[f64]) {
    let actual = values(actual);
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(expected) {
        let error = (f64::from(*a) - e).abs();
        assert!(
            error <= 1e-5 * e.abs().max(1.0),
            "{actual:?} is not {expected:?}"
        );
    }
}

/// Compares the gradient of `loss` at `x` with central differences of fourth order,
/// `(8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h`: with `h = 0.05` their own error is
/// about 1e-5 in float32. Kinks of `loss` must be further than `2h` from `x`.
#[track_caller]
pub(crate) fn assert_gradient(x: &[f32], loss: impl Fn(Tensor<1>) -> Tensor<1>) {
    const H: f32 = 0.05;
    let device = device();
    let at = |x: &[f32]| Tensor::<1>::from_floats(x, &device);
    let leaf = at(x).require_grad();
    let gradients = loss(leaf.clone()).backward();
    let gradient = values(leaf.grad(&gradients).expect("the loss depends on x"));

    let size = gradient.iter().fold(1.0_f32, |size, g| size.max(g.abs()));
    for (i, analytic) in gradient.iter().enumerate() {
        let shifted = |by: f32| {
            let mut x = x.to_vec();
            x[i] += by * H;
            f64::from(loss(at(&x)).into_scalar::<f32>())
        };
        let difference = 8.0 * (shifted(1.0) - shifted(-1.0)) - (shifted(2.0) - shifted(-2.0));
        let numeric = difference / f64::from(12.0 * H);
        let error = (f64::from(*analytic) - numeric).abs();
        assert!(
            error <= 2e-4 * f64::from(size),
            "component {i}: gradient {analytic}, differences {numeric}"
        );
    }
}
