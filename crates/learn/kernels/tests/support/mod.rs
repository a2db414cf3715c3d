//! Comparing operations with their gradients.

#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use burn::tensor::{DType, Device, Distribution, Tensor};

/// Largest error relative to the largest expected value.
const TOLERANCE: f32 = 1e-5;

pub(crate) fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

#[track_caller]
pub(crate) fn assert_close<const D: usize>(what: &str, actual: &Tensor<D>, expected: &Tensor<D>) {
    assert_eq!(actual.dims(), expected.dims(), "{what}: shape");
    let (actual, expected) = (values(actual), values(expected));
    let scale = expected.iter().fold(1e-20f32, |m, v| m.max(v.abs()));
    for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
        let error = (a - e).abs() / scale;
        assert!(
            error <= TOLERANCE,
            "{what}: value {i} is {a}, expected {e} ({error:e})"
        );
    }
}

/// Values and gradients of the sum of `output * weights`.
pub(crate) fn run<const N: usize>(
    inputs: &[Tensor<4>; N],
    f: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> (Tensor<4>, [Tensor<4>; N]) {
    run_on(inputs, &inputs[0].device(), DType::F32, f)
}

/// [`run`] on a copy of the inputs on another device or of another type.
pub(crate) fn run_on<const N: usize>(
    inputs: &[Tensor<4>; N],
    device: &Device,
    dtype: DType,
    f: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> (Tensor<4>, [Tensor<4>; N]) {
    let device = device.clone().autodiff();
    let leaves: [Tensor<4>; N] = std::array::from_fn(|i| {
        Tensor::from_data(inputs[i].to_data(), (&device, dtype)).require_grad()
    });
    let output = f(leaves.clone());
    let len: usize = output.dims().iter().product();
    let weights: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin()).collect();
    let weights = Tensor::<1>::from_data(weights.as_slice(), (&device, dtype));
    let grads = (output.clone() * weights.reshape(output.dims()))
        .sum()
        .backward();
    let gradients = leaves.map(|leaf| leaf.grad(&grads).expect("a gradient"));
    (output.inner(), gradients)
}

pub(crate) fn as_vector(x: Tensor<4>) -> Tensor<1> {
    x.reshape([-1])
}
