//! The tensors that operations read and make.

use burn::tensor::Tensor;
use offramp_core::widened;

/// A value of a graph for a batch: a map or a vector for each image.
#[derive(Clone, Debug)]
pub enum TensorValue {
    /// `[N, C, H, W]`.
    Map(Tensor<4>),
    /// `[N, D]`.
    Vector(Tensor<2>),
}

impl TensorValue {
    /// The map; a vector is a map with one position.
    pub fn into_map(self) -> Tensor<4> {
        match self {
            Self::Map(map) => map,
            Self::Vector(vector) => {
                let [n, d] = vector.dims();
                vector.reshape([n, d, 1, 1])
            }
        }
    }

    /// The vector; a map's numbers are one after the other, channel by channel.
    pub fn into_vector(self) -> Tensor<2> {
        match self {
            Self::Map(map) => map.flatten(1, 3),
            Self::Vector(vector) => vector,
        }
    }

    /// In float32 where it is narrower.
    pub(super) fn widened(self) -> Self {
        match self {
            Self::Map(map) => Self::Map(widened(&map)),
            Self::Vector(vector) => Self::Vector(widened(&vector)),
        }
    }

    /// The result of a function of maps that keeps the kind of value.
    pub(super) fn map(self, function: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Self {
        match self {
            Self::Map(map) => Self::Map(function(map)),
            Self::Vector(_) => Self::Vector(function(self.into_map()).flatten(1, 3)),
        }
    }
}

impl From<Tensor<4>> for TensorValue {
    fn from(map: Tensor<4>) -> Self {
        Self::Map(map)
    }
}

impl From<Tensor<2>> for TensorValue {
    fn from(vector: Tensor<2>) -> Self {
        Self::Vector(vector)
    }
}
