//! What the tests of the network share.
#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use offramp_core::params::Path;
use offramp_core::{MapShape, default_device};
use offramp_heads::{MultiExitNet, NetConfig, NetError};
use offramp_nn::Init;
use serde_json::Value;

pub const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// A network of the settings with gradients, or what is wrong with them.
pub fn try_net(model: Value, classes: usize) -> Result<MultiExitNet, NetError> {
    let config: NetConfig = serde_json::from_value(model).unwrap();
    let device = default_device().unwrap().autodiff();
    config.init(classes, IMAGE, &mut Init::new(3, &device))
}

pub fn net(model: Value, classes: usize) -> MultiExitNet {
    try_net(model, classes).unwrap()
}

/// `scale sin(0.9 seed + 1.7 i + 0.05 i^2)`, as in the Python beside.
pub fn numbers(seed: usize, count: usize, scale: f64) -> Vec<f32> {
    let value = |i: usize| {
        let (seed, i) = (seed as f64, i as f64);
        (scale * (0.9 * seed + 1.7 * i + 0.05 * i * i).sin()) as f32
    };
    (0..count).map(value).collect()
}

/// The same as a tensor with gradients.
pub fn wave<const D: usize>(seed: usize, shape: [usize; D], scale: f64) -> Tensor<D> {
    let device = default_device().unwrap().autodiff();
    let values = numbers(seed, shape.iter().product(), scale);
    Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape)
}

/// The sum of all values, weighted by a wave.
pub fn probe<const D: usize>(tensor: Tensor<D>, seed: usize) -> Tensor<1> {
    let weights = wave(seed, tensor.dims(), 1.0);
    (tensor * weights).sum()
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Gradients of a module's parameters by name; a parameter without one is left out.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> BTreeMap<String, Vec<f32>> {
    struct Visitor<'a> {
        path: Path,
        gradients: &'a Gradients,
        found: BTreeMap<String, Vec<f32>>,
    }

    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.gradients) {
                self.found.insert(self.path.name(), values(gradient));
            }
        }
    }

    let mut visitor = Visitor {
        path: Path::default(),
        gradients,
        found: BTreeMap::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}
