//! Kernels on slices. They know nothing of burn.
//!
//! Feature maps are read through [`Map`], any strides, and written channels-last:
//! `[N, H, W, C]` in memory, so that a vector is sixteen neighbouring channels.
//! Work is split into tasks by shape alone and every sum has one fixed order,
//! hence no result depends on the number of threads.

// Unchecked loads and stores are what this module is for; each block says why it is sound.
#![allow(unsafe_code)]
// Register arrays are walked by constant indices: the form the compiler keeps in registers.
#![allow(clippy::needless_range_loop)]

pub(crate) mod conv;
pub(crate) mod cross_entropy;
pub(crate) mod elementwise;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod norm;
pub(crate) mod parallel;
pub(crate) mod pool;
pub(crate) mod sgd;
pub(crate) mod simd;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod threads;
