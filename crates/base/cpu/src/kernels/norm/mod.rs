//! Batch normalisation over dense channels-last rows, fused with a residual
//! addition and a ReLU.
//!
//! Rows are cut into chunks that fit the first-level cache. Within a chunk sums run
//! in single precision in a fixed order; chunks are combined in double precision.

mod apply;
#[cfg(test)]
mod reference;
mod sums;
#[cfg(test)]
mod tests;

pub use apply::{Affine, apply, input_gradient};
pub use sums::{column_sums, gradient_sums, statistics};

/// Values of a chunk.
const CHUNK: usize = 4 << 10;

/// Rows of a chunk, for `channels` values per row.
fn chunk_rows(channels: usize) -> usize {
    (CHUNK / channels.max(1)).max(1)
}

/// Mean and biased variance of every channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean over the rows.
    pub mean: Vec<f32>,
    /// Mean squared deviation from the mean.
    pub variance: Vec<f32>,
}

/// Sums over the rows of the gated output gradient `g`.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientSums {
    /// `sum g`, the gradient of beta.
    pub gradient: Vec<f64>,
    /// `sum g * (x - mean)`.
    pub product: Vec<f64>,
}
