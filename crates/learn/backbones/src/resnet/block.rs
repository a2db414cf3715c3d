//! Either kind of block.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::Init;

use super::basic::BasicBlock;
use super::bottleneck::Bottleneck;
use super::{BlockKind, ResNetOptions};

/// A residual block, which may be cut after its first convolution.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "networks have few")]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic(BasicBlock),
    /// 1x1, 3x3 and 1x1 convolutions.
    Bottleneck(Bottleneck),
}

/// Calls the method of the block that it is.
macro_rules! either {
    ($block:expr, $inner:ident => $call:expr) => {
        match $block {
            Block::Basic($inner) => $call,
            Block::Bottleneck($inner) => $call,
        }
    };
}

impl Block {
    /// A block of so many `planes` ([`BlockKind::channels`] follow from them).
    pub(super) fn new(
        kind: BlockKind,
        [input, planes]: [usize; 2],
        stride: usize,
        options: ResNetOptions,
        init: &mut Init,
    ) -> Self {
        let [width, out] = [kind.inner_channels(planes), kind.channels(planes)];
        match kind {
            BlockKind::Basic => Self::Basic(BasicBlock::new([input, out], stride, options, init)),
            BlockKind::Bottleneck { groups, .. } => {
                let channels = [input, width, out];
                Self::Bottleneck(Bottleneck::new(channels, groups, stride, options, init))
            }
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second_half(self.first_half(x.clone()), x)
    }

    /// `relu(bn1(conv1(x)))`.
    pub(super) fn first_half(&self, x: Tensor<4>) -> Tensor<4> {
        either!(self, block => block.first_half(x))
    }

    /// The output from that of the first half and the block's input.
    pub(super) fn second_half(&self, y: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        either!(self, block => block.second_half(y, x))
    }

    pub(super) fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.trace_first_half(b, x)?;
        self.trace_second_half(b, y, x)
    }

    pub(super) fn trace_first_half(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        either!(self, block => block.trace_first_half(b, x))
    }

    pub(super) fn trace_second_half(
        &self,
        b: &mut Builder,
        y: Value,
        x: Value,
    ) -> Result<Value, GraphError> {
        either!(self, block => block.trace_second_half(b, y, x))
    }

    /// Cost of the first half with the shape of its map, and cost of the second half with that of
    /// the block's, the shortcut's included.
    pub(super) fn costs(&self, map: MapShape) -> [(Cost, MapShape); 2] {
        either!(self, block => block.costs(map))
    }
}
