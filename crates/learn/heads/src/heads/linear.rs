//! Pooling and a linear layer.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{Init, Linear};

/// `logits = fc(mean over positions of the map)`: the classifier that residual
/// networks end with, and the cheapest early exit.
#[derive(Module, Debug)]
pub struct LinearHead {
    pub(crate) fc: Linear,
}

impl LinearHead {
    /// A head for maps of `channels` channels.
    pub fn new(channels: usize, classes: usize, init: &mut Init) -> Self {
        Self {
            fc: Linear::new(channels, classes, init),
        }
    }
}

impl ExitHead for LinearHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        super::classify(map, &self.fc)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        super::trace_classify(b, map, &self.fc)
    }

    fn embedding_dim(&self) -> usize {
        self.fc.inputs()
    }

    fn cost(&self, _map: MapShape) -> Cost {
        self.fc.cost()
    }
}
