//! Cascades: exits that build on the answer of the exit before.
//!
//! A head gives logits `z_k` of its own. In a cascade a *link* makes something of the answer of the
//! exit before, and the exit's answer is the sum:
//!
//! ```text
//! G_k = z_k + link_k(G_{k-1})
//! ```
//!
//! That sum is what is called the exit's logits everywhere: methods, policies and the runner see
//! nothing else. One file a kind of link.

mod boost;
mod config;
mod isc;
mod registry;
mod ztw;

pub use boost::{Boost, BoostConfig};
pub use isc::{Isc, IscConfig};
pub use registry::{AnyLink, CascadeConfig, CascadeEntry, cascades};
pub use ztw::{Ztw, ZtwConfig};

use burn::tensor::Tensor;
use offramp_core::Cost;
use offramp_graph::{Builder, GraphError, Value};

/// What an exit makes of the answer of the exit before.
pub(crate) trait Link {
    /// What is added to the exit's own logits.
    ///
    /// # Shapes
    /// - `previous`, the logits of the exit before, and output: `[N, classes]`
    fn forward(&self, previous: Tensor<2>) -> Tensor<2>;

    /// Writes the link into a graph: what [`forward`](Self::forward) computes in evaluation.
    fn trace(&self, b: &mut Builder, previous: Value) -> Result<Value, GraphError>;

    /// Cost for one image.
    fn cost(&self) -> Cost;
}

/// The exit that a link leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Number of classes.
    pub classes: usize,
    /// Width of the exit's embedding.
    pub width: usize,
    /// Whether it is the last exit of the network.
    pub last: bool,
}
