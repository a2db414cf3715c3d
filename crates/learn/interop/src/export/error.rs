//! Errors of an export.

use offramp_core::files::FileError;
use offramp_core::params::ParamError;
use offramp_graph::GraphError;
use thiserror::Error;

/// A network that cannot be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The network cannot be written as operations for images of the card's shape.
    #[error("the network does not fit its images: {0}")]
    Graph(#[from] GraphError),
    /// The network holds an operation that the operator set asked for does not have.
    #[error("{node}: the operation {kind} needs opset {opset} or a later one")]
    NeedsOpset {
        /// The node.
        node: String,
        /// What it does.
        kind: &'static str,
        /// The oldest that has it.
        opset: i64,
    },
    /// An operator set that is not supported.
    #[error(
        "opset {found} is not supported; choose one from {} to {}",
        super::Opset::OLDEST,
        super::Opset::NEWEST
    )]
    Opset {
        /// The operator set that was asked for.
        found: i64,
    },
    /// A protobuf file holds at most 2 GiB.
    #[error(
        "the file would have {bytes} bytes, an ONNX file holds at most {}; export the stages \
         (--segments) or safetensors",
        i32::MAX
    )]
    TooLarge {
        /// How many it would have.
        bytes: usize,
    },
    /// Tensors could not be written as safetensors.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// The description could not be written as JSON.
    #[error("the description of the network cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}
