//! A bottleneck that goes to the last stage's shape in one step.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init, Linear};

/// A convolution, batch norm and ReLU.
#[derive(Module, Debug)]
pub struct ConvBnRelu {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl ConvBnRelu {
    /// The layers for a convolution of the given settings and output width.
    pub fn new(conv: Conv2dConfig, width: usize, init: &mut Init) -> Self {
        Self {
            conv: conv.init(init),
            bn: BatchNorm2d::new(width, init),
        }
    }

    /// `relu(bn(conv(x)))`, `[N, C, H, W]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward_relu(self.conv.forward(x))
    }

    /// The same in a graph.
    ///
    /// # Errors
    /// When the map does not fit.
    pub fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let x = self.conv.trace(b, x)?;
        self.bn.trace_relu(b, x)
    }

    /// Cost for a map, and the shape of the output.
    pub fn cost(&self, map: MapShape) -> (Cost, MapShape) {
        let (cost, map) = self.conv.cost(map);
        (cost + self.bn.cost(), map)
    }
}

/// 1x1 convolution to a quarter of the last stage's width, `k x k` convolution of
/// stride `k` (`k` = the reduction that is left), 1x1 convolution to the last
/// stage's width, each with batch norm and ReLU; then pooling and a linear layer
/// (the heads of the public port of Zhang et al., *Be Your Own Teacher*, ICCV
/// 2019). After the last stage only pooling and the linear layer are left.
#[derive(Module, Debug)]
pub struct BottleneckHead {
    layers: Vec<ConvBnRelu>,
    pub(crate) fc: Linear,
}

impl BottleneckHead {
    /// `reduction`: side of the map divided by the side of the last stage's map.
    pub fn new(
        channels: usize,
        width: usize,
        reduction: usize,
        classes: usize,
        init: &mut Init,
    ) -> Self {
        let layers = match reduction {
            1 => Vec::new(),
            k => {
                let middle = (width / 4).max(1);
                let reduce = Conv2dConfig::new(middle, middle, k)
                    .with_stride(k)
                    .with_padding(0);
                vec![
                    ConvBnRelu::new(Conv2dConfig::new(channels, middle, 1), middle, init),
                    ConvBnRelu::new(reduce, middle, init),
                    ConvBnRelu::new(Conv2dConfig::new(middle, width, 1), width, init),
                ]
            }
        };
        let inputs = if layers.is_empty() { channels } else { width };
        Self {
            layers,
            fc: Linear::new(inputs, classes, init),
        }
    }
}

impl ExitHead for BottleneckHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        let map = self
            .layers
            .iter()
            .fold(map, |map, layer| layer.forward(map));
        super::classify(map, &self.fc)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        let map = self
            .layers
            .iter()
            .try_fold(map, |map, layer| layer.trace(b, map))?;
        super::trace_classify(b, map, &self.fc)
    }

    fn embedding_dim(&self) -> usize {
        self.fc.inputs()
    }

    fn cost(&self, mut map: MapShape) -> Cost {
        let mut cost = self.fc.cost();
        for layer in &self.layers {
            let (layer_cost, layer_map) = layer.cost(map);
            cost += layer_cost;
            map = layer_map;
        }
        cost
    }
}
