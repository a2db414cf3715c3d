//! Weights of other programs into networks of offramp, and networks of offramp for other programs.
//!
//! In, there are three steps, each usable alone: [`WeightFile`] reads a file without running anything in it,
//! [`match_names`] finds for every tensor of a network its counterpart in the file, and [`import`]
//! does both and builds the network. Only the last knows of burn. Out, see [`export`].

mod dtype;
mod error;
pub mod export;
mod file;
mod import;
mod names;
mod pytorch;
mod safetensors;
mod view;

pub use dtype::Dtype;
pub use error::{Problem, ReadError};
pub use file::WeightFile;
pub use import::{ImportError, ImportOptions, Imported, import};
pub use names::{Mapping, NameError, Rename, Unmatched, match_names};
