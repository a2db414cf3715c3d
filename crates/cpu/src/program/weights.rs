//! The block of packed weights.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

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

    /// Words that something else owns, a mapped file for one. None if they do not begin at a cache line.
    pub fn shared(owner: impl Deref<Target = [f32]> + Send + Sync + 'static) -> Option<Self> {
        (owner.as_ptr() as usize)
            .is_multiple_of(ALIGNMENT)
            .then(|| Self(Arc::new(owner)))
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
