//! Functions of every number of a map.

use burn::module::Module;
use burn::tensor::{Tensor, activation};
use offramp_graph::{Builder, GraphError, Value};

/// A function of every number of a map.
#[derive(Module, Debug)]
pub struct Activation {
    #[module(skip)]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Relu,
    Relu6,
    HardSigmoid,
    HardSwish,
}

impl Activation {
    /// `max(x, 0)`.
    pub fn relu() -> Self {
        Self { kind: Kind::Relu }
    }

    /// `min(max(x, 0), 6)`.
    pub fn relu6() -> Self {
        Self { kind: Kind::Relu6 }
    }

    /// `min(max(x + 3, 0), 6) / 6`.
    pub fn hard_sigmoid() -> Self {
        Self {
            kind: Kind::HardSigmoid,
        }
    }

    /// `x * min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    pub fn hard_swish() -> Self {
        Self {
            kind: Kind::HardSwish,
        }
    }

    pub(super) fn is_relu(&self) -> bool {
        self.kind == Kind::Relu
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self.kind {
            Kind::Relu => activation::relu(x),
            Kind::Relu6 => x.clamp(0.0, 6.0),
            Kind::HardSigmoid => hard_sigmoid(x),
            Kind::HardSwish => x.clone() * hard_sigmoid(x),
        }
    }

    pub(super) fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        match self.kind {
            Kind::Relu => b.relu(x),
            Kind::Relu6 => b.clamp(x, 0.0, 6.0),
            Kind::HardSigmoid => b.hard_sigmoid(x),
            Kind::HardSwish => b.hard_swish(x),
        }
    }
}

fn hard_sigmoid(x: Tensor<4>) -> Tensor<4> {
    (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
}
