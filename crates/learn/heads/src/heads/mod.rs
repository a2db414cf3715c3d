//! One file a head.

mod bottleneck;
mod branch;
mod conv;
mod linear;
mod projector;
mod sepconv;

pub use bottleneck::BottleneckHead;
pub use branch::BranchHead;
pub use conv::ConvHead;
pub use linear::LinearHead;
pub use projector::{ProjectorConfig, ProjectorHead};
pub use sepconv::{SepConvHead, SepConvStyle};

use burn::tensor::Tensor;
use offramp_core::{ExitOutput, widened};
use offramp_graph::{Builder, GraphError, Value};
use offramp_kernels::global_avg_pool;
use offramp_nn::Linear;

/// What every head ends with: mean over positions, then a linear layer.
fn classify(map: Tensor<4>, fc: &Linear) -> ExitOutput {
    let map = widened(&map);
    let embedding = global_avg_pool(map.clone());
    ExitOutput {
        logits: fc.forward(embedding.clone()),
        embedding,
        map,
    }
}

/// The same in a graph, from the map to the logits.
fn trace_classify(b: &mut Builder, map: Value, fc: &Linear) -> Result<Value, GraphError> {
    let embedding = b.global_avg_pool(map)?;
    fc.trace(b, embedding)
}
