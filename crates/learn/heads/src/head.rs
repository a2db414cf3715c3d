//! Any head of this crate.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::Linear;

use crate::heads::{BottleneckHead, BranchHead, ConvHead, LinearHead, ProjectorHead, SepConvHead};

/// Any head of this crate.
// A network has a handful of heads; a box would only cost an indirection.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
#[non_exhaustive]
pub enum AnyHead {
    /// Pooling and a linear layer.
    Linear(LinearHead),
    /// Separable convolutions.
    SepConv(SepConvHead),
    /// BYOT's bottleneck.
    Bottleneck(BottleneckHead),
    /// MSDNet's convolutions.
    Conv(ConvHead),
    /// SimKD's projector.
    Projector(ProjectorHead),
    /// The rest of the backbone.
    Branch(BranchHead),
}

impl AnyHead {
    fn head(&self) -> &dyn ExitHead {
        match self {
            Self::Linear(head) => head,
            Self::SepConv(head) => head,
            Self::Bottleneck(head) => head,
            Self::Conv(head) => head,
            Self::Projector(head) => head,
            Self::Branch(head) => head,
        }
    }
}

impl AnyHead {
    /// The linear layer that the head ends with.
    pub fn classifier(&self) -> &Linear {
        match self {
            Self::Linear(head) => &head.fc,
            Self::SepConv(head) => &head.fc,
            Self::Bottleneck(head) => &head.fc,
            Self::Conv(head) => &head.fc,
            Self::Projector(head) => &head.fc,
            Self::Branch(head) => &head.fc,
        }
    }

    /// The same layer, to be replaced.
    pub(crate) fn classifier_mut(&mut self) -> &mut Linear {
        match self {
            Self::Linear(head) => &mut head.fc,
            Self::SepConv(head) => &mut head.fc,
            Self::Bottleneck(head) => &mut head.fc,
            Self::Conv(head) => &mut head.fc,
            Self::Projector(head) => &mut head.fc,
            Self::Branch(head) => &mut head.fc,
        }
    }
}

impl ExitHead for AnyHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        self.head().forward(map)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        self.head().trace(b, map)
    }

    fn embedding_dim(&self) -> usize {
        self.head().embedding_dim()
    }

    fn cost(&self, map: MapShape) -> Cost {
        self.head().cost(map)
    }
}
