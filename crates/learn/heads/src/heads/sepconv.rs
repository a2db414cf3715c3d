//! A chain of separable convolutions down to the shape of the last stage.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init, Linear};
use serde::{Deserialize, Serialize};

/// What one link of the chain is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SepConvStyle {
    /// Depthwise 3x3 of stride 2, pointwise to the new width, batch norm, ReLU
    /// (Zhang et al., *MLCSD-Net*, Complex & Intelligent Systems 2024).
    #[default]
    Mlcsd,
    /// Depthwise 3x3 of stride 2, pointwise at the old width, batch norm, ReLU, depthwise 3x3,
    /// pointwise to the new width, batch norm, ReLU (Zhang et al., *Be Your Own Teacher*, ICCV
    /// 2019).
    Byot,
}

/// One separable convolution: depthwise 3x3, pointwise 1x1, batch norm, ReLU.
#[derive(Module, Debug)]
pub struct SepConv {
    depthwise: Conv2d,
    pointwise: Conv2d,
    bn: BatchNorm2d,
}

impl SepConv {
    fn new([input, out]: [usize; 2], stride: usize, init: &mut Init) -> Self {
        let depthwise = Conv2dConfig::new(input, input, 3)
            .with_stride(stride)
            .with_groups(input);
        Self {
            depthwise: depthwise.init(init),
            pointwise: Conv2dConfig::new(input, out, 1).init(init),
            bn: BatchNorm2d::new(out, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.pointwise.forward(self.depthwise.forward(x));
        self.bn.forward_relu(x)
    }

    fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let x = self.depthwise.trace(b, x)?;
        let x = self.pointwise.trace(b, x)?;
        self.bn.trace_relu(b, x)
    }

    fn cost(&self, map: MapShape) -> (Cost, MapShape) {
        let (depthwise, map) = self.depthwise.cost(map);
        let (pointwise, map) = self.pointwise.cost(map);
        (depthwise + pointwise + self.bn.cost(), map)
    }
}

/// One link for every later stage of the backbone, each halving the map and
/// taking that stage's width; then pooling and a linear layer. After the last
/// stage the chain is empty.
#[derive(Module, Debug)]
pub struct SepConvHead {
    chain: Vec<SepConv>,
    pub(crate) fc: Linear,
}

impl SepConvHead {
    /// `widths`: the width of the map, then those of the later stages.
    pub fn new(widths: &[usize], classes: usize, style: SepConvStyle, init: &mut Init) -> Self {
        let chain = (widths.windows(2))
            .flat_map(|pair| match style {
                SepConvStyle::Mlcsd => vec![SepConv::new([pair[0], pair[1]], 2, init)],
                SepConvStyle::Byot => vec![
                    SepConv::new([pair[0], pair[0]], 2, init),
                    SepConv::new([pair[0], pair[1]], 1, init),
                ],
            })
            .collect();
        let width = widths.last().copied().unwrap_or_default();
        Self {
            chain,
            fc: Linear::new(width, classes, init),
        }
    }
}

impl ExitHead for SepConvHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        let map = self.chain.iter().fold(map, |map, link| link.forward(map));
        super::classify(map, &self.fc)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        let map = self
            .chain
            .iter()
            .try_fold(map, |map, link| link.trace(b, map))?;
        super::trace_classify(b, map, &self.fc)
    }

    fn embedding_dim(&self) -> usize {
        self.fc.inputs()
    }

    fn cost(&self, mut map: MapShape) -> Cost {
        let mut cost = self.fc.cost();
        for link in &self.chain {
            let (link_cost, link_map) = link.cost(map);
            cost += link_cost;
            map = link_map;
        }
        cost
    }
}
