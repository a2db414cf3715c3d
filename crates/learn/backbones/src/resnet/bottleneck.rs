//! The bottleneck block.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init};

use super::ResNetOptions;
use super::shortcut::Shortcut;

/// `relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))`, with 1x1, 3x3 and 1x1
/// convolutions; the 3x3 one has the stride, as in torchvision, and may be grouped (Xie et al.,
/// *ResNeXt*, CVPR 2017).
#[derive(Module, Debug)]
pub struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    downsample: Shortcut,
}

impl Bottleneck {
    pub(super) fn new(
        [input, width, out]: [usize; 3],
        groups: usize,
        stride: usize,
        options: ResNetOptions,
        init: &mut Init,
    ) -> Self {
        let conv1 = Conv2dConfig::new(input, width, 1).init(init);
        let conv2 = Conv2dConfig::new(width, width, 3)
            .with_stride(stride)
            .with_groups(groups);
        let conv2 = conv2.init(init);
        let conv3 = Conv2dConfig::new(width, out, 1).init(init);
        let bn3 = BatchNorm2d::new(out, init);
        Self {
            conv1,
            bn1: BatchNorm2d::new(width, init),
            conv2,
            bn2: BatchNorm2d::new(width, init),
            conv3,
            bn3: match options.zero_init_residual {
                true => bn3.zeroed(),
                false => bn3,
            },
            downsample: Shortcut::new([input, out], stride, options, init),
        }
    }

    /// `relu(bn1(conv1(x)))`.
    pub(super) fn first_half(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn1.forward_relu(self.conv1.forward(x))
    }

    /// The output from that of the first half and the block's input.
    pub(super) fn second_half(&self, y: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let y = self.bn2.forward_relu(self.conv2.forward(y));
        let y = self.conv3.forward(y);
        self.bn3.forward_add_relu(y, self.downsample.forward(x))
    }

    pub(super) fn trace_first_half(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.conv1.trace(b, x)?;
        self.bn1.trace_relu(b, y)
    }

    pub(super) fn trace_second_half(
        &self,
        b: &mut Builder,
        y: Value,
        x: Value,
    ) -> Result<Value, GraphError> {
        let y = self.conv2.trace(b, y)?;
        let y = self.bn2.trace_relu(b, y)?;
        let y = self.conv3.trace(b, y)?;
        let shortcut = self.downsample.trace(b, x)?;
        self.bn3.trace_add_relu(b, y, shortcut)
    }

    /// Cost of the first half with the shape of its map, and cost of the second half with that of
    /// the block's, the shortcut's included.
    pub(super) fn costs(&self, map: MapShape) -> [(Cost, MapShape); 2] {
        let (first, inner) = self.conv1.cost(map);
        let (second, middle) = self.conv2.cost(inner);
        let (third, output) = self.conv3.cost(middle);
        let second = second + self.bn2.cost() + third + self.bn3.cost();
        [
            (first + self.bn1.cost(), inner),
            (second + self.downsample.cost(map), output),
        ]
    }
}
