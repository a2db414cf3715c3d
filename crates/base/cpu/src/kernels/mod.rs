//! Kernels for training: forward and backward passes over feature maps, and the update.

pub mod conv;
pub mod cross_entropy;
pub mod elementwise;
pub mod map;
pub mod norm;
pub mod pool;
pub mod sgd;
// WebAssembly has no threads.
#[cfg(all(test, not(target_family = "wasm")))]
mod threads;
