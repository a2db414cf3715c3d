//! Numbers of `tests/optimizers.py`, which states the rules in double precision.

use burn::tensor::Tensor;
use offramp_core::default_device;

use super::Slot;

pub(crate) const SGD_PLAIN: [f64; 3] =
    [0.7215871233740099, -1.1082369031918406, 0.4794038324389884];
pub(crate) const SGD_MOMENTUM: [f64; 3] = [
    0.21547317617526968,
    -1.5563039222090251,
    0.38575301120369615,
];
pub(crate) const SGD_NESTEROV: [f64; 3] =
    [0.20494473843019678, -2.106141261668614, 0.37232275821080724];
pub(crate) const ADAMW: [f64; 3] = [0.7292609286346983, -0.8553144129513172, 0.5125668697715504];

/// Five updates with the gradient `w^2 + (-1)^t`.
pub(crate) fn run(
    mut update: impl FnMut(&mut Slot, Tensor<1>, Tensor<1>) -> Tensor<1>,
) -> Vec<f32> {
    let mut weight = Tensor::<1>::from_floats([1.0, -0.8, 0.5], &default_device().unwrap());
    let mut slot = Slot::default();
    for t in 1..=5 {
        slot.steps += 1;
        let sign = if t % 2 == 0 { 1.0 } else { -1.0 };
        let gradient = weight.clone().square() + sign;
        weight = update(&mut slot, weight, gradient);
    }
    weight.into_data().try_to_vec().unwrap_or_default()
}

/// Five steps in single precision: relative 2e-6.
pub(crate) fn check(found: &[f32], expected: [f64; 3]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f64::from(*f) - e).abs() < 2e-6 * e.abs().max(1.0),
            "{found:?} {expected:?}"
        );
    }
}
