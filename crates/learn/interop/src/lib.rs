//! Import of weights of other programs, and export of networks to other programs.
//!
//! An import has three steps, each usable alone: [`WeightFile`] reads a file without running anything in it,
//! `match_names` finds for every tensor of a network its counterpart in the file, and [`import`]
//! does both and builds the network. Only the last needs burn. For exports see [`export`].

pub mod export;
mod import;
mod names;

pub use import::{ImportError, ImportOptions, Imported, import};
pub use names::{Mapping, NameError, Rename, Unmatched};
pub use offramp_weights::{Dtype, Problem, ReadError, WeightFile};
