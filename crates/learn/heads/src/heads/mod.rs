//! One file per head.

mod bottleneck;
mod branch;
mod conv;
mod linear;
mod projector;
mod sepconv;

pub use bottleneck::BottleneckHead;
pub use branch::BranchHead;
pub use conv::{ConvHead, ConvWidth};
pub use linear::LinearHead;
pub use projector::ProjectorHead;
pub use sepconv::{SepConvHead, SepConvStyle};
