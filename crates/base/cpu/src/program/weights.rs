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

/// Read-only words, owned or part of an image of a file; clones share them.
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

/// The bytes of a file, from a cache line on: mapped into memory, or a copy.
#[derive(Clone)]
pub struct FileBytes(Arc<Held>);

enum Held {
    /// Pages are read when they are needed and shared by all processes that map the file.
    Mapped(Mmap),
    /// The given number of bytes of the buffer.
    Copied(Buffer, usize),
}

impl FileBytes {
    /// Maps a file. It must not be shortened or written to while it is mapped; replace such files by a
    /// rename.
    ///
    /// # Errors
    /// Those of the system.
    pub fn map(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only. That the file does not change is asked of the user above;
        // every program that maps files rests on it.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Arc::new(Held::Mapped(map))))
    }

    /// A copy of what was read from somewhere.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut buffer = Buffer::new(bytes.len().div_ceil(4));
        for (word, bytes) in buffer.iter_mut().zip(bytes.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            *word = f32::from_bits(u32::from_ne_bytes(four));
        }
        Self(Arc::new(Held::Copied(buffer, bytes.len())))
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        match &*self.0 {
            Held::Mapped(map) => map,
            // SAFETY: the buffer has at least that many initialised bytes, and bytes have no alignment.
            Held::Copied(buffer, len) => unsafe {
                std::slice::from_raw_parts(buffer.as_ptr().cast(), *len)
            },
        }
    }

    /// `words` words from a byte on. None if they are not there or do not begin at a cache line.
    pub fn weights(&self, from: usize, words: usize) -> Option<Weights> {
        let end = words.checked_mul(4)?.checked_add(from)?;
        let fits = from.is_multiple_of(ALIGNMENT) && end <= self.bytes().len();
        fits.then(|| {
            let file = self.clone();
            Weights(Arc::new(Part { file, from, words }))
        })
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBytes({} bytes)", self.bytes().len())
    }
}

/// Words of a file.
struct Part {
    file: FileBytes,
    from: usize,
    words: usize,
}

impl Deref for Part {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let bytes = &self.file.bytes()[self.from..self.from + 4 * self.words];
        // SAFETY: the bytes are there and begin at a cache line, for mappings begin at a page and
        // buffers at a cache line; every pattern of bits is an `f32`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_bytes_are_the_same_and_begin_at_a_cache_line() {
        for len in [0, 1, 63, 64, 67, 300] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            let file = FileBytes::copy(&bytes);
            assert_eq!(file.bytes(), bytes);
            if let Some(weights) = file.weights(64, 16) {
                assert!(len >= 128 && (weights.as_ptr() as usize).is_multiple_of(ALIGNMENT));
                let first = u32::from_ne_bytes(std::array::from_fn(|i| bytes[64 + i]));
                assert_eq!((weights.len(), weights[0].to_bits()), (16, first));
            } else {
                assert!(len < 128);
            }
            assert!(file.weights(4, 1).is_none(), "not at a cache line");
            assert!(file.weights(0, usize::MAX).is_none());
        }
    }
}
