//! MSDNet's classifier.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{Conv2dConfig, Init, Linear};

use super::bottleneck::ConvBnRelu;

/// Two 3x3 convolutions of stride 2 with batch norm and ReLU, pooling, a linear
/// layer (Huang et al., *Multi-Scale Dense Networks*, ICLR 2018).
///
/// MSDNet pools 2x2 because its maps are 8x8; here the pooling is over all
/// positions, which is the same for such maps and takes any other.
#[derive(Module, Debug)]
pub struct ConvHead {
    conv1: ConvBnRelu,
    conv2: ConvBnRelu,
    pub(crate) fc: Linear,
}

impl ConvHead {
    /// A head for maps of `channels` channels; MSDNet's `width` is 128.
    pub fn new(channels: usize, width: usize, classes: usize, init: &mut Init) -> Self {
        let conv1 = Conv2dConfig::new(channels, width, 3).with_stride(2);
        let conv2 = Conv2dConfig::new(width, width, 3).with_stride(2);
        Self {
            conv1: ConvBnRelu::new(conv1, width, init),
            conv2: ConvBnRelu::new(conv2, width, init),
            fc: Linear::new(width, classes, init),
        }
    }
}

impl ExitHead for ConvHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        let map = self.conv2.forward(self.conv1.forward(map));
        super::classify(map, &self.fc)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        let map = self.conv1.trace(b, map)?;
        let map = self.conv2.trace(b, map)?;
        super::trace_classify(b, map, &self.fc)
    }

    fn embedding_dim(&self) -> usize {
        self.fc.inputs()
    }

    fn cost(&self, map: MapShape) -> Cost {
        let (first, map) = self.conv1.cost(map);
        let (second, _) = self.conv2.cost(map);
        first + second + self.fc.cost()
    }
}
