//! Read-only memory mapping of a cache file: the one place of this crate with `unsafe`.
//!
//! `memmap2` marks mapping as unsafe because another process may change the file under the
//! mapping. There is no safe crate for it, and reading the block into memory instead would make
//! every run of a 1.3 GB set pay its whole size in memory.
#![expect(
    unsafe_code,
    reason = "only the caller can promise that a mapped file stays as it is"
)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// A whole file, mapped read-only.
#[derive(Debug)]
pub(crate) struct Mapping(Mmap);

impl Mapping {
    /// Maps `file`, which must be a finished cache file of this crate, to which no process writes.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the bytes must not change and the file must not shrink while it is mapped. Cache
        // files are written under a temporary name, made read-only and renamed into place;
        // no code opens one for writing afterwards. A rebuilt cache is a new file renamed over the
        // old name, which leaves the mapped inode alone. What is read is plain `u8`, for which
        // every bit pattern is valid.
        unsafe { Mmap::map(file) }.map(Self)
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
