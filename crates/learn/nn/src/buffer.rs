//! A tensor that belongs to a layer but is not trained.

use std::sync::{Mutex, PoisonError};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamId,
};
use burn::tensor::{Device, Tensor};

/// A tensor that a layer updates during its forward pass, such as running
/// statistics.
///
/// Unlike burn's `RunningState`, a clone has a value of its own, and what a
/// visitor sees is the value after the last update: a checkpoint is exact and a
/// moving average of weights does not write into the network it copies.
#[derive(Debug)]
pub struct Buffer<const D: usize> {
    id: ParamId,
    value: Mutex<Tensor<D>>,
}

/// A value that nothing learns from. To detach alone is not enough: what was a leaf stays one in burn.
fn constant<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    value.detach().set_require_grad(false)
}

impl<const D: usize> Buffer<D> {
    /// A buffer with its first value.
    pub fn new(value: Tensor<D>) -> Self {
        Self::with_id(ParamId::new(), value)
    }

    fn with_id(id: ParamId, value: Tensor<D>) -> Self {
        Self {
            id,
            value: Mutex::new(constant(value)),
        }
    }

    /// What the buffer is known by, a parameter of the module for visitors.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// The value after the last update.
    pub fn value(&self) -> Tensor<D> {
        self.lock().clone()
    }

    /// Replaces the value. Gradients do not flow into it.
    pub fn update(&self, change: impl FnOnce(Tensor<D>) -> Tensor<D>) {
        let mut value = self.lock();
        *value = constant(change(value.clone()));
    }

    /// A panic of another thread cannot leave the value half-written, so a poisoned lock is fine.
    fn lock(&self) -> std::sync::MutexGuard<'_, Tensor<D>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_parts(self) -> (ParamId, Tensor<D>) {
        let value = self.value.into_inner();
        (self.id, value.unwrap_or_else(PoisonError::into_inner))
    }

    fn as_param(&self) -> Param<Tensor<D>> {
        Param::initialized(self.id, self.value())
    }
}

impl<const D: usize> Clone for Buffer<D> {
    fn clone(&self) -> Self {
        Self::with_id(self.id, self.value())
    }
}

impl<const D: usize> Module for Buffer<D> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&self.as_param());
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (id, value) = self.into_parts();
        let (_, value, _) = mapper.map_float(Param::initialized(id, value)).consume();
        Self::with_id(id, value)
    }

    fn to_device(self, device: &Device) -> Self {
        let (id, value) = self.into_parts();
        Self::with_id(id, value.to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self::with_id(self.id, self.value().without_autodiff())
    }

    fn train(self) -> Self {
        let (id, value) = self.into_parts();
        if value.is_autodiff() {
            Self::with_id(id, value)
        } else {
            Self::with_id(id, Tensor::from_inner(value))
        }
    }
}

impl<const D: usize> ModuleDisplayDefault for Buffer<D> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Buffer".to_owned()).optional()
    }
}

impl<const D: usize> ModuleDisplay for Buffer<D> {}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn what_began_as_a_parameter_learns_nothing() {
        let device = default_device().unwrap().autodiff();
        let leaf = || Tensor::<1>::ones([1], &device).require_grad();
        let buffer = Buffer::new(leaf());
        assert!(!buffer.value().is_require_grad());
        buffer.update(|_| leaf());
        assert!(!buffer.value().is_require_grad());
    }

    #[test]
    fn a_clone_has_its_own_value_and_updates_are_seen_at_once() {
        let device = default_device().unwrap().autodiff();
        let buffer = Buffer::new(Tensor::<1>::ones([1], &device));
        let copy = buffer.clone();
        buffer.update(|value| value * 3.0);
        let read = |buffer: &Buffer<1>| buffer.value().into_scalar::<f32>();
        assert_eq!(read(&buffer), 3.0);
        assert_eq!(read(&copy), 1.0);
        assert_eq!(read(&buffer.valid()), 3.0);
        assert_eq!(read(&buffer.valid().train()), 3.0);
    }
}
