//! Layers with PyTorch's parameter names and numerics, on the operations of
//! [`offramp_kernels`].
//!
//! burn's own layers differ from PyTorch's in what a saved network shows: the
//! batch norm keeps the biased running variance and calls its scale `gamma`, the
//! linear weight is transposed. Ours do not, so that weights travel without a map.
//!
//! A network is a graph ([`offramp_graph`]); [`GraphModule`] trains and evaluates any. The layers by
//! themselves serve what stands beside a network, such as a distiller's projection.
//!
//! Parameters are float32. A layer computes in the type of the map that it is given, so that a network
//! given images of bfloat16 computes in bfloat16; normalisations compute in float32 within.
//!
//! Initial weights come from an explicit generator, [`Init`], and are the same on
//! every device.

mod batch_norm;
mod buffer;
mod conv;
mod graph;
mod init;
mod layer_norm;
mod linear;
mod narrow;
mod pool;
mod replica;

pub use batch_norm::BatchNorm2d;
pub use buffer::Buffer;
pub use conv::{Conv2d, Conv2dConfig};
pub use graph::{
    GraphBackbone, GraphHead, GraphModule, HeadValues, Piece, Stages, TensorValue, stages,
};
pub use init::Init;
pub use linear::Linear;
pub use pool::shrink;
pub use replica::synchronised;
