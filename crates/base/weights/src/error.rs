//! What can be wrong with a file of weights.

use std::path::PathBuf;

use thiserror::Error;

/// A file of weights that cannot be read.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a file of weights.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// Its first bytes are those of no known format.
    #[error(
        "neither a PyTorch file (zip or the format before 1.6) nor safetensors: it begins with \
         {first:?}"
    )]
    Unknown {
        /// The first bytes, those that are no ASCII escaped.
        first: String,
    },
    /// The zip archive is damaged.
    #[error("a damaged zip archive ({0}); it may be cut off: copy or download it again")]
    Zip(String),
    /// A zip archive of something else.
    #[error("a zip archive without data.pkl: torch.save did not write it")]
    NoPickle,
    /// An entry that `torch.save` would not write in this way. Entries are never unpacked, so that
    /// a small file cannot fill the memory.
    #[error(
        "entry {entry:?} of the archive is compressed or encrypted, which torch.save never does"
    )]
    Packed {
        /// Its name.
        entry: String,
    },
    /// The bytes of an entry are not those that were written.
    #[error(
        "entry {entry:?} has CRC-32 {found:08x} instead of {expected:08x}: the file is damaged"
    )]
    Checksum {
        /// Its name.
        entry: String,
        /// The recorded sum.
        expected: u32,
        /// The sum of the bytes.
        found: u32,
    },
    /// The numbers are stored the other way round.
    #[error("its numbers are big-endian; only little-endian files are read")]
    BigEndian,
    /// It ends too early.
    #[error("cut off: {what} needs {needed} bytes at byte {at}, and {left} are left")]
    Truncated {
        /// What is being read.
        what: &'static str,
        /// Where.
        at: usize,
        /// Bytes wanted.
        needed: u64,
        /// Bytes there.
        left: usize,
    },
    /// The pickle is not one that `torch.save` writes.
    #[error("its pickle makes no sense at byte {at}: {reason}")]
    Pickle {
        /// Position in the pickle.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The pickle names a function or a class.
    #[error(
        "its pickle asks for `{name}`, which a state_dict does not need and which could run code; \
         nothing was run. Save the weights alone: torch.save(model.state_dict(), path)"
    )]
    Global {
        /// Module and name in Python.
        name: String,
    },
    /// More than any state_dict has.
    #[error("its pickle makes more than {limit} objects: more than any state_dict needs")]
    Objects {
        /// The limit.
        limit: usize,
    },
    /// A tensor that does not lie within its storage.
    #[error("tensor {name:?}: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No tensors where they are looked for.
    #[error(
        "no tensors are in it, neither at the top nor under `state_dict`, `model` or `net`; \
         it holds {found}"
    )]
    NoStateDict {
        /// What is there.
        found: String,
    },
    /// The safetensors format is violated.
    #[error("a damaged safetensors file: {0}")]
    Safetensors(String),
}
