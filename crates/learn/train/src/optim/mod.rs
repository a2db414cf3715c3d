//! Optimisers with PyTorch's update rules.
//!
//! burn's own SGD applies dampening differently at the first step and keeps its state by
//! parameter ids, which change with every start; here the state is tensors by
//! name, which a checkpoint can hold and a reader can inspect.

mod adamw;
mod clip;
mod decay;
#[cfg(test)]
mod golden;
mod sgd;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor};
use offramp_core::params::Path;
use serde::{Deserialize, Serialize};

pub use adamw::AdamwConfig;
pub use clip::GradientNorm;
pub use decay::Exclude;
pub use sgd::SgdConfig;

/// The `[train.optimizer]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam with decoupled weight decay.
    Adamw(AdamwConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(SgdConfig::default())
    }
}

impl OptimizerConfig {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(config) => config.lr,
            Self::Adamw(config) => config.lr,
        }
    }

    fn weight_decay(&self) -> (f64, &[Exclude]) {
        match self {
            Self::Sgd(config) => (config.weight_decay, &config.no_decay),
            Self::Adamw(config) => (config.weight_decay, &config.no_decay),
        }
    }
}

/// The optimiser's state of one parameter.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// Updates done.
    pub steps: u64,
    /// Tensors by name (`momentum`; `exp-avg`, `exp-avg-sq`), flattened.
    pub tensors: BTreeMap<String, Tensor<1>>,
}

/// Updates the parameters of modules.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    slots: BTreeMap<String, Slot>,
}

impl Optimizer {
    /// An optimiser without state.
    pub fn new(config: OptimizerConfig) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
        }
    }

    /// Its state, by parameter.
    pub fn slots(&self) -> &BTreeMap<String, Slot> {
        &self.slots
    }

    /// Replaces its state.
    pub fn with_slots(mut self, slots: BTreeMap<String, Slot>) -> Self {
        self.slots = slots;
        self
    }

    /// The same with its state on another device.
    pub fn on(&self, device: &Device) -> Self {
        let mut other = self.clone();
        for tensor in other
            .slots
            .values_mut()
            .flat_map(|slot| slot.tensors.values_mut())
        {
            *tensor = tensor.clone().to_device(device);
        }
        other
    }

    /// Updates every trainable parameter of `module` that has a gradient, taking the gradients
    /// out of `gradients`. Parameters without one stay as they are, as in PyTorch.
    ///
    /// `part` is put before the names, so that several modules share an optimiser
    /// (`net/backbone.conv1.weight`). `scale` multiplies the gradients first (see
    /// [`GradientNorm::clip`]), shape `[1]`.
    pub fn step<M: Module>(
        &mut self,
        part: &str,
        module: M,
        gradients: &mut Gradients,
        lr: f64,
        scale: Option<&Tensor<1>>,
    ) -> M {
        module.map(&mut Update {
            optimizer: self,
            part,
            path: Path::default(),
            containers: Vec::new(),
            gradients,
            lr,
            scale,
        })
    }

    /// The learning rate before its schedule.
    pub fn base_lr(&self) -> f64 {
        self.config.lr()
    }

    /// `-dw/dg` of a step at learning rate `lr`; with SGD only, where it is one number.
    pub fn gain(&self, lr: f64) -> Option<f64> {
        match &self.config {
            OptimizerConfig::Sgd(config) => Some(config.gain(lr)),
            OptimizerConfig::Adamw(_) => None,
        }
    }

    fn update(&mut self, name: String, decay: f64, values: [Tensor<1>; 2], lr: f64) -> Tensor<1> {
        let slot = self.slots.entry(name).or_default();
        slot.steps += 1;
        let [weight, gradient] = values;
        match &self.config {
            OptimizerConfig::Sgd(config) => config.update(slot, decay, weight, gradient, lr),
            OptimizerConfig::Adamw(config) => config.update(slot, decay, weight, gradient, lr),
        }
    }
}

struct Update<'a> {
    optimizer: &'a mut Optimizer,
    part: &'a str,
    path: Path,
    containers: Vec<String>,
    gradients: &'a mut Gradients,
    lr: f64,
    scale: Option<&'a Tensor<1>>,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
        self.containers.push(container_type.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
        self.containers.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, weight, mapper) = param.consume();
        let Some(gradient) = weight.grad_remove(self.gradients) else {
            return Param::from_mapped_value(id, weight, mapper);
        };
        let name = self.path.name();
        let (decay, exclude) = self.optimizer.config.weight_decay();
        let container = self.containers.last().map_or("", String::as_str);
        let excluded = exclude
            .iter()
            .any(|e| e.covers(self.part, &name, container));
        let decay = if excluded { 0.0 } else { decay };
        let shape = weight.dims();
        let mut gradient = gradient.reshape([-1]);
        if let Some(scale) = self.scale {
            gradient = gradient * scale.clone();
        }
        let values = [weight.inner().reshape([-1]), gradient];
        let name = format!("{}/{name}", self.part);
        let updated = self.optimizer.update(name, decay, values, self.lr);
        let updated = Tensor::from_inner(updated.reshape(shape)).require_grad();
        Param::from_mapped_value(id, updated, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[derive(Module, Debug)]
    struct Pair {
        used: Param<Tensor<2>>,
        unused: Param<Tensor<1>>,
    }

    fn pair() -> Pair {
        let device = default_device().unwrap().autodiff();
        Pair {
            used: Param::from_tensor(Tensor::from_floats([[1.0, 2.0]], &device)),
            unused: Param::from_tensor(Tensor::from_floats([3.0], &device)),
        }
    }

    fn step(optimizer: &mut Optimizer, pair: Pair) -> Pair {
        let mut gradients = pair.used.val().square().sum().backward();
        optimizer.step("net", pair, &mut gradients, 0.1, None)
    }

    #[test]
    fn a_parameter_without_gradient_stays_and_gets_no_slot() {
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let pair = step(&mut optimizer, pair());
        assert_eq!(pair.unused.val().into_scalar::<f32>(), 3.0);
        assert_eq!(optimizer.slots().keys().collect::<Vec<_>>(), ["net/used"]);
        assert!(pair.used.val().is_require_grad());
        // The graph of the first step is not part of the second.
        let pair = step(&mut optimizer, pair);
        assert_eq!(optimizer.slots()["net/used"].steps, 2);
        assert!(pair.used.val().is_require_grad());
    }

    #[test]
    fn a_frozen_parameter_stays() {
        let frozen = pair().no_grad();
        let device = default_device().unwrap().autodiff();
        let other = Tensor::<1>::ones([1], &device).require_grad();
        let mut gradients = (frozen.used.val().sum() * other).backward();
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let after = optimizer.step("net", frozen, &mut gradients, 0.1, None);
        assert_eq!(
            after.used.val().into_data().try_to_vec::<f32>().unwrap(),
            [1.0, 2.0]
        );
        assert!(optimizer.slots().is_empty());
    }
}
