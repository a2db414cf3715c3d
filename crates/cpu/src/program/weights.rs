//! The block of packed weights.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::memory::{ALIGNMENT, Buffer};

/// A part of the block of weights, in 32-bit words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The first.
    pub start: usize,
    /// How many.
    pub len: usize,
}

/// Read-only words, owned or part of a mapped file; clones share them.
#[derive(Clone)]
pub struct Weights(Arc<dyn Deref<Target = [f32]> + Send + Sync>);

impl Weights {
    /// A copy of `values`, aligned to a cache line.
    pub fn new(values: &[f32]) -> Self {
        let mut buffer = Buffer::new(values.len());
        buffer.copy_from_slice(values);
        Self(Arc::new(buffer))
    }
}

/// A file that is mapped into memory; its pages are read when they are needed and shared by all
/// processes that map it.
#[derive(Clone, Debug)]
pub struct MappedFile(Arc<Mmap>);

impl MappedFile {
    /// Maps a file. Nobody may shorten it or write to it while it is mapped: replace such files, as
    /// a rename does.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only. That the file does not change is asked of the user above;
        // every program that maps files rests on it.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Arc::new(map)))
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `words` words from a byte on. None if they are not there or do not begin at a cache line.
    pub fn weights(&self, from: usize, words: usize) -> Option<Weights> {
        let end = words.checked_mul(4)?.checked_add(from)?;
        let fits = from.is_multiple_of(ALIGNMENT) && end <= self.0.len();
        fits.then(|| {
            let file = self.clone();
            Weights(Arc::new(Part { file, from, words }))
        })
    }
}

/// Words of a mapped file.
struct Part {
    file: MappedFile,
    from: usize,
    words: usize,
}

impl Deref for Part {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let bytes = &self.file.bytes()[self.from..self.from + 4 * self.words];
        // SAFETY: the bytes are there and begin at a cache line, for mappings begin at a page; every
        // pattern of bits is an `f32`.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), self.words) }
    }
}

impl Deref for Weights {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weights({} words)", self.len())
    }
}
