//! One file per head.

mod bottleneck;
mod branch;
mod conv;
mod linear;
mod projector;
mod sepconv;

/// No head of the field is wider; more would be a slip of the pen.
const MOST_CHANNELS: usize = 65_536;

pub use bottleneck::BottleneckHead;
pub use branch::BranchHead;
pub use conv::{ConvHead, ConvWidth};
pub use linear::LinearHead;
pub use projector::ProjectorHead;
pub use sepconv::{SepConvHead, SepConvStyle};
