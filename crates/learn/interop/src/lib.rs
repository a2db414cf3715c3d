//! Weights of other programs into networks of offramp, and networks of offramp for other programs.
//!
//! In, there are three steps, each usable alone: [`WeightFile`] reads a file without running anything in it,
//! [`match_names`] finds for every tensor of a network its counterpart in the file, and [`import`]
//! does both and builds the network. Only the last knows of burn. Out, see [`export`].

pub mod export;
mod import;
mod names;

pub use import::{ImportError, ImportOptions, Imported, import};
pub use names::{Mapping, NameError, Rename, Unmatched, match_names};
pub use offramp_weights::{Dtype, Problem, ReadError, WeightFile};
