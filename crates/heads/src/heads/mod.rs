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
use offramp_core::ExitOutput;
use offramp_kernels::global_avg_pool;
use offramp_nn::Linear;

/// What every head ends with: mean over positions, then a linear layer.
fn classify(map: Tensor<4>, fc: &Linear) -> ExitOutput {
    let embedding = global_avg_pool(map.clone());
    ExitOutput {
        logits: fc.forward(embedding.clone()),
        embedding,
        map,
    }
}
