//! Networks of offramp for other programs.
//!
//! | function | what |
//! |---|---|
//! | [`state_dict()`] | safetensors under the names that PyTorch's twin has |
//! | [`onnx()`] | one ONNX graph with all exits |
//! | [`onnx_segments()`] | one ONNX graph for each segment with its exit, and the JSON that chains them |
//!
//! Each comes with the same [`Description`]. The ONNX files are made from the network's
//! [`Graph`](offramp_graph::Graph), with batch norms folded, and from nothing else;
//! [`graph_to_onnx`] writes any other graph.

mod description;
mod error;
mod onnx;
mod segments;
mod state_dict;
mod whole;

pub use description::{Description, ExitDescription};
pub use error::ExportError;
pub use onnx::{OnnxNotes, Opset, graph_to_onnx};
pub use segments::{
    ChainPolicy, OnnxSegments, SegmentFile, SegmentsFile, TensorDescription, onnx_segments,
};
pub use state_dict::state_dict;
pub use whole::onnx;
