//! CPU kernels for convolutional networks, on slices. They know nothing of burn.
//!
//! Feature maps are read through [`map::Map`], any strides, and written channels-last:
//! `[N, H, W, C]` in memory, so that a vector is sixteen neighbouring channels.
//! Work is split into tasks by shape alone and every sum has one fixed order,
//! hence no result depends on the number of threads.
//!
//! The instruction set is found at run time: AVX-512, AVX2 with FMA, or portable code; on 64-bit
//! ARM it is NEON, in WebAssembly `simd128` where the build asks for it. The environment variable `OFFRAMP_KERNELS` (`avx512`, `avx2`, `portable`) asks
//! for a lesser one.

// Unchecked loads and stores are what this module is for; each block says why it is sound.
#![allow(unsafe_code)]
// Register arrays are walked by constant indices: the form the compiler keeps in registers.
#![allow(clippy::needless_range_loop)]

pub mod conv;
pub mod cross_entropy;
pub mod elementwise;
pub mod map;
pub mod memory;
pub mod norm;
pub(crate) mod parallel;
pub mod pool;
pub mod program;
pub mod sgd;
pub mod simd;
#[cfg(test)]
pub(crate) mod testing;
// WebAssembly has no threads.
#[cfg(all(test, not(target_family = "wasm")))]
mod threads;
