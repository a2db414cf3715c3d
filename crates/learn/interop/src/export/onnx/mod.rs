//! ONNX files.

mod lower;
mod model;
mod opset;
mod parts;
mod proto;

pub use model::{OnnxNotes, graph_to_onnx};
pub use opset::Opset;
