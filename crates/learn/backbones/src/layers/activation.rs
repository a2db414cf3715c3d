//! Functions of every number of a map.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_graph::{Builder, GraphError, Value};
use offramp_kernels::{Activation as Function, activation};

/// A function of every number of a map.
#[derive(Module, Debug)]
pub struct Activation {
    #[module(skip)]
    function: Function,
}

impl Activation {
    /// `max(x, 0)`.
    pub fn relu() -> Self {
        Self {
            function: Function::Relu,
        }
    }

    /// `min(max(x, 0), 6)`.
    pub fn relu6() -> Self {
        Self {
            function: Function::Relu6,
        }
    }

    /// `min(max(x + 3, 0), 6) / 6`.
    pub fn hard_sigmoid() -> Self {
        Self {
            function: Function::HardSigmoid,
        }
    }

    /// `x * min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    pub fn hard_swish() -> Self {
        Self {
            function: Function::HardSwish,
        }
    }

    pub(super) fn is_relu(&self) -> bool {
        self.function == Function::Relu
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        activation(x, self.function)
    }

    pub(super) fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        match self.function {
            Function::Relu => b.relu(x),
            Function::Relu6 => b.clamp(x, 0.0, 6.0),
            Function::HardSigmoid => b.hard_sigmoid(x),
            Function::HardSwish => b.hard_swish(x),
        }
    }
}
