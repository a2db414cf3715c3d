//! What the tests of the network share.
#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use offramp_core::{MapShape, default_device, params};
use offramp_heads::{MultiExitNet, NetConfig, NetError};
use offramp_nn::Init;
use serde_json::Value;

pub(crate) const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// A network of the settings with gradients, or what is wrong with them.
pub(crate) fn try_net(model: Value, classes: usize) -> Result<MultiExitNet, NetError> {
    let config: NetConfig = serde_json::from_value(model).unwrap();
    let device = default_device().unwrap().autodiff();
    config.init(classes, IMAGE, &mut Init::new(3, &device))
}

pub(crate) fn net(model: Value, classes: usize) -> MultiExitNet {
    try_net(model, classes).unwrap()
}

/// `scale sin(0.9 seed + 1.7 i + 0.05 i^2)`, as in the Python beside.
pub(crate) fn numbers(seed: usize, count: usize, scale: f64) -> Vec<f32> {
    let value = |i: usize| {
        let (seed, i) = (seed as f64, i as f64);
        (scale * (0.9 * seed + 1.7 * i + 0.05 * i * i).sin()) as f32
    };
    (0..count).map(value).collect()
}

/// The same as a tensor with gradients.
pub(crate) fn wave<const D: usize>(seed: usize, shape: [usize; D], scale: f64) -> Tensor<D> {
    let device = default_device().unwrap().autodiff();
    let values = numbers(seed, shape.iter().product(), scale);
    Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape)
}

/// The sum of all values, weighted by a wave.
pub(crate) fn probe<const D: usize>(tensor: Tensor<D>, seed: usize) -> Tensor<1> {
    let weights = wave(seed, tensor.dims(), 1.0);
    (tensor * weights).sum()
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Gradients of a module's parameters by name; a parameter without one is left out.
pub(crate) fn gradients<M: Module>(
    module: &M,
    gradients: &Gradients,
) -> BTreeMap<String, Vec<f32>> {
    let found = params::gradients(module, gradients).into_iter();
    found
        .map(|(name, gradient)| (name, values(gradient)))
        .collect()
}
