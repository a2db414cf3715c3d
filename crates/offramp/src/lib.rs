//! Image classifiers with several exits: easy images leave early, hard ones go
//! deep, and the early exits are made good by distillation.
//!
//! This crate re-exports the others and forwards the backend features; each of
//! them can be used alone.
//!
//! | module | what |
//! |---|---|
//! | [`core`] | stages, exits, costs, devices |
//! | [`graph`] | a trained network as a list of operations |
//! | [`kernels`] | the operations, with CPU kernels |
//! | [`nn`] | layers with PyTorch's names and numerics |
//! | [`backbones`], [`heads`] | network bodies, exit heads, the multi-exit network |
//! | [`losses`], [`teachers`], [`methods`] | what is minimised, who teaches whom, and both together |
//! | [`data`] | data sets, augmentation, loading |
//! | [`policies`] | when to stop, and how thresholds are fitted |
//! | [`run`] | what a run folder holds, and the rules for it |
//! | [`train`] | recipes, trainer, checkpoints |
//! | [`infer`] | the runner that really stops early |
//! | [`executor`] | trained networks compiled for the CPU |
//! | [`report`] | runs as one page of charts and tables |
//! | [`serve`] | the HTTP service and its page |
//! | [`weights`] | the tensors of PyTorch and safetensors files |
//! | [`interop`] | those weights into networks; export to ONNX and PyTorch |
//!
//! | feature | backend |
//! |---|---|
//! | `flex` (default) | CPU |
//! | `ndarray` | CPU, burn's older backend |
//! | `cuda` | NVIDIA GPUs |
//! | `wgpu`, `vulkan` | GPUs with Vulkan, Metal or DirectX 12 |

pub use offramp_backbones as backbones;
pub use offramp_core as core;
pub use offramp_data as data;
pub use offramp_executor as executor;
pub use offramp_graph as graph;
pub use offramp_heads as heads;
pub use offramp_infer as infer;
pub use offramp_interop as interop;
pub use offramp_kernels as kernels;
pub use offramp_losses as losses;
pub use offramp_methods as methods;
pub use offramp_nn as nn;
pub use offramp_policies as policies;
pub use offramp_report as report;
pub use offramp_run as run;
pub use offramp_serve as serve;
pub use offramp_teachers as teachers;
pub use offramp_train as train;
pub use offramp_weights as weights;

/// The README's Rust, compiled by `cargo test --doc`.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
