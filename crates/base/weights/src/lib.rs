//! Tensors of PyTorch and safetensors files, without running what is in them.
//!
//! [`WeightFile`] opens `.pt`, `.pth` and `.th` files (archives, and the format before PyTorch 1.6)
//! and `.safetensors`, knows which it is by the content, and lists and reads their tensors. A pickle is
//! read by a machine that knows the few calls that build tensors, and makes none other. A damaged
//! file is a [`ReadError`]; memory stays in the order of the file's size.
//!
//! It depends on no framework.

mod dtype;
mod error;
mod file;
mod pytorch;
mod safetensors;
mod view;

pub use dtype::Dtype;
pub use error::{Problem, ReadError};
pub use file::WeightFile;
