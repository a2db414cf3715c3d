//! PyTorch's files: a pickle that describes tensors, and the storages that they lie in.

mod legacy;
mod objects;
mod pickle;
mod rebuild;
mod state_dict;
mod zipped;

pub(crate) use legacy::read as from_legacy;
pub(crate) use zipped::read as from_zip;
