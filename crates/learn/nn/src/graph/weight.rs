//! The weights of a graph on a device.

use std::sync::Arc;

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use offramp_graph::{Initial, Weight, WeightKind};

use crate::{Buffer, Init};

/// A weight of a graph.
#[expect(
    clippy::large_enum_variant,
    reason = "a network has some hundred weights"
)]
#[derive(Clone, Debug)]
pub(super) enum Tensors {
    /// A parameter with one axis.
    Vector(Param<Tensor<1>>),
    /// A parameter with two axes.
    Matrix(Param<Tensor<2>>),
    /// A parameter with three axes.
    Cube(Param<Tensor<3>>),
    /// A parameter with four axes.
    Kernel(Param<Tensor<4>>),
    /// A running statistic.
    Statistic(Buffer<1>),
}

/// The same expression for every kind.
macro_rules! every {
    ($tensors:expr, $tensor:ident => $result:expr) => {
        match $tensors {
            Tensors::Vector($tensor) => $result,
            Tensors::Matrix($tensor) => $result,
            Tensors::Cube($tensor) => $result,
            Tensors::Kernel($tensor) => $result,
            Tensors::Statistic($tensor) => $result,
        }
    };
}

/// The same change of every kind.
macro_rules! change {
    ($tensors:expr, $tensor:ident => $result:expr) => {
        match $tensors {
            Tensors::Vector($tensor) => Tensors::Vector($result),
            Tensors::Matrix($tensor) => Tensors::Matrix($result),
            Tensors::Cube($tensor) => Tensors::Cube($result),
            Tensors::Kernel($tensor) => Tensors::Kernel($result),
            Tensors::Statistic($tensor) => Tensors::Statistic($result),
        }
    };
}

impl Tensors {
    /// The numbers that the weight has, else fresh ones.
    pub(super) fn new(weight: &Weight, init: &mut Init) -> Self {
        if weight.kind == WeightKind::Statistic {
            return Self::Statistic(Buffer::new(tensor(weight, init).val()));
        }
        match weight.shape.len() {
            1 => Self::Vector(tensor(weight, init)),
            2 => Self::Matrix(tensor(weight, init)),
            3 => Self::Cube(tensor(weight, init)),
            4 => Self::Kernel(tensor(weight, init)),
            axes => unreachable!(
                "{}: no operation reads a weight of {axes} axes",
                weight.name
            ),
        }
    }

    /// The numbers, the last axis fastest.
    pub(super) fn numbers(&self) -> Arc<[f32]> {
        let data = match self {
            Self::Vector(weight) => weight.val().into_data(),
            Self::Matrix(weight) => weight.val().into_data(),
            Self::Cube(weight) => weight.val().into_data(),
            Self::Kernel(weight) => weight.val().into_data(),
            Self::Statistic(buffer) => buffer.value().into_data(),
        };
        data.iter::<f32>().collect()
    }

    pub(super) fn vector(&self) -> Tensor<1> {
        match self {
            Self::Vector(weight) => weight.val(),
            other => other.wrong("one axis"),
        }
    }

    pub(super) fn matrix(&self) -> &Param<Tensor<2>> {
        match self {
            Self::Matrix(weight) => weight,
            other => other.wrong("two axes"),
        }
    }

    pub(super) fn kernel(&self) -> Tensor<4> {
        match self {
            Self::Kernel(weight) => weight.val(),
            other => other.wrong("four axes"),
        }
    }

    pub(super) fn statistic(&self) -> &Buffer<1> {
        match self {
            Self::Statistic(buffer) => buffer,
            other => other.wrong("a statistic"),
        }
    }

    /// The graph has checked the shapes of all operands.
    fn wrong(&self, expected: &str) -> ! {
        unreachable!("a weight with {expected}, not {self:?}")
    }

    pub(super) fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        every!(self, tensor => Module::visit(tensor, visitor));
    }

    pub(super) fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        change!(self, tensor => Module::map(tensor, mapper))
    }

    pub(super) fn moved(self, device: &Device) -> Self {
        change!(self, tensor => Module::to_device(tensor, device))
    }

    pub(super) fn fork(self, device: &Device) -> Self {
        change!(self, tensor => Module::fork(tensor, device))
    }

    pub(super) fn collect_devices(&self, devices: Devices) -> Devices {
        every!(self, tensor => Module::collect_devices(tensor, devices))
    }

    pub(super) fn materialize(self) -> Self {
        change!(self, tensor => Module::materialize(tensor))
    }

    pub(super) fn valid(self) -> Self {
        change!(&self, tensor => Module::valid(tensor))
    }

    pub(super) fn train(self) -> Self {
        change!(self, tensor => Module::train(tensor))
    }
}

fn tensor<const D: usize>(weight: &Weight, init: &mut Init) -> Param<Tensor<D>> {
    let shape = <[usize; D]>::try_from(weight.shape.as_slice());
    let shape = shape.unwrap_or_else(|_| unreachable!("{}: {:?}", weight.name, weight.shape));
    if !weight.data.is_empty() {
        let data = TensorData::new(weight.data.to_vec(), shape);
        return Param::from_data(data, init.device());
    }
    match weight.initial {
        Initial::Constant(value) => init.full(shape, value),
        Initial::Normal { std } => init.normal(shape, std),
        Initial::Uniform { bound } => init.uniform(shape, bound),
    }
}
