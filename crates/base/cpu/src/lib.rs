//! CPU kernels for convolutional networks, on slices. They know nothing of burn.
//!
//! Feature maps are read through [`map::Map`], any strides, and written channels-last:
//! `[N, H, W, C]` in memory, so that a vector is sixteen neighbouring channels.
//! Work is split into tasks by shape alone and every sum has one fixed order,
//! hence no result depends on the number of threads.
//!
//! | folder | what |
//! |---|---|
//! | `kernels` | forward and backward passes for training: [`conv`], [`norm`], [`pool`], [`cross_entropy`], [`sgd`] |
//! | [`program`] | inference: checked steps over planned memory |
//! | [`simd`], [`memory`], `parallel` | vectors, buffers and threads, for both |
//!
//! The instruction set is found at run time: AVX-512, AVX2 with FMA, or portable code; on 64-bit
//! ARM it is NEON, in WebAssembly `simd128` where the build asks for it. The environment variable
//! `OFFRAMP_KERNELS` (`avx512`, `avx2`, `portable`) asks for a lesser one.

#![expect(
    unsafe_code,
    reason = "unchecked loads and stores are what this crate is for; each block says why it is sound"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "arrays of registers are walked by constant indices: the form that the compiler keeps in registers"
)]

mod kernels;
pub mod memory;
pub(crate) mod parallel;
pub mod program;
pub mod simd;
#[cfg(test)]
pub(crate) mod testing;

pub use kernels::{conv, cross_entropy, elementwise, map, norm, pool, sgd};
