//! The operations of the networks of this workspace.
//!
//! On the `flex` CPU backend they run on kernels of this crate, with handwritten gradients
//! under autodiff; on every other backend, and for other types than `f32`, the same call is
//! burn's own operation.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use offramp_kernels::{Conv2dOptions, conv2d};
//!
//! let device = Device::default();
//! let image = Tensor::<4>::ones([1, 3, 8, 8], &device);
//! let weight = Tensor::<4>::ones([16, 3, 3, 3], &device);
//! let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
//! let map = conv2d(image, weight, None, options);
//! assert_eq!(map.dims(), [1, 16, 8, 8]);
//! ```
//!
//! # How the kernels work
//! - Maps are `[N, C, H, W]` to every caller and channels-last in memory, a legal layout of
//!   `flex`. A vector is sixteen neighbouring channels; nothing is repacked between operations.
//! - A convolution copies a few images at a time into padded blocks of sixteen channels and
//!   runs register tiles of outputs over them: an implicit matrix product, without an im2col
//!   buffer and without edges. The input gradient is the same for each phase of the stride, the
//!   weight gradient a sum of outer products.
//! - Large buffers are kept and given out again, because the page faults of fresh ones cost more
//!   than the arithmetic. At most 512 MiB lie idle.
//! - Work is cut by shape alone and every sum has one order: results do not depend, bit for
//!   bit, on the number of threads. They do differ in the last bits between instruction sets.
//!
//! The instruction set is found at run time: AVX-512, AVX2 with FMA, or portable code; on 64-bit
//! ARM it is NEON. The environment variable `OFFRAMP_KERNELS` (`avx512`, `avx2`, `portable`) selects
//! a lesser one.

#[cfg(feature = "flex")]
mod autodiff;
#[cfg(feature = "flex")]
mod extension;
#[cfg(feature = "flex")]
mod flex;
mod functional;
mod replica;

#[cfg(feature = "flex")]
pub use offramp_cpu::simd::{Isa, isa};

pub use functional::{
    Activation, BatchNormTrain, Conv2dOptions, SgdOptions, activation, add, avg_pool2d,
    batch_norm_eval, batch_norm_train, concat, conv2d, global_avg_pool, linear, max_pool2d,
    scale_gradient, sgd_step, softmax_cross_entropy,
};
pub use replica::Replica;
