//! The operations that networks of this workspace are written with.
//!
//! On the `flex` CPU backend they run on kernels of this crate; on every other
//! backend the same call is burn's own operation.

#[cfg(feature = "flex")]
mod autodiff;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "flex")]
mod extension;
#[cfg(feature = "flex")]
mod flex;
mod functional;

#[cfg(feature = "flex")]
pub use cpu::simd::{Isa, isa};

pub use functional::{
    BatchNormTrain, Conv2dOptions, SgdOptions, avg_pool2d, batch_norm_eval, batch_norm_train,
    conv2d, global_avg_pool, linear, max_pool2d, sgd_step, softmax_cross_entropy,
};
