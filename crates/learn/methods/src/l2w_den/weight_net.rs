//! The network that gives the weights.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use offramp_nn::{Init, Linear};

/// `sigmoid(W_2 relu(W_1 x))`, with biases.
#[derive(Module, Debug)]
pub(super) struct WeightNet {
    pub hidden: Linear,
    output: Linear,
}

impl WeightNet {
    pub(crate) fn new(inputs: usize, hidden: usize, exits: usize, init: &mut Init) -> Self {
        Self {
            hidden: Linear::new(inputs, hidden, init),
            output: Linear::new(hidden, exits, init),
        }
    }

    /// # Shapes
    /// - `x`: `[N, inputs]`, output: `[N, exits]`, each within 0 and 1
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        sigmoid(self.output.forward(relu(self.hidden.forward(x))))
    }
}
