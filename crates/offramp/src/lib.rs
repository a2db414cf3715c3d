//! Image classifiers with several exits: easy images leave early, hard ones go
//! deep, and the early exits are made good by distillation.
//!
//! # Predict
//!
//! [`load`] reads the network of a run folder, and [`Network::predict`] answers an image: an image
//! file, or one that is decoded already.
//!
#![cfg_attr(feature = "predict", doc = "```no_run")]
#![cfg_attr(not(feature = "predict"), doc = "```ignore")]
//! let mut net = offramp::load("runs/demo")?;
//! let answer = net.predict("cat.png")?;
//! println!("{} ({:.3}), exit {}", answer.class, answer.confidence, answer.exit);
//! # Ok::<(), offramp::Error>(())
//! ```
//!
//! # Features
//!
//! The other crates of the workspace are modules of this one; a feature leaves out what is not asked
//! for. `graph`, `picture`, `policies` and `run` are always there: they are small, and everything
//! else stands on them.
//!
//! | feature | modules | what it is for | what it builds |
//! |---|---|---|---|
//! | `predict` (default) | `executor` | `load`: plans on a CPU | neither burn nor a network stack |
//! | `model` | `backbones`, `core`, `heads`, `infer`, `kernels`, `nn` | networks on any device; `load` compiles them | burn |
//! | `train` (default) | `data`, `losses`, `methods`, `teachers`, `train` | training; implies `model` | burn |
//! | `fetch` | `data` | downloads of data sets | ureq |
//! | `interop` | `interop`, `weights` | weights of PyTorch; export to ONNX and PyTorch; implies `model` | burn |
//! | `report` | `report` | charts and pages of runs | plotters |
//! | `serve` | `serve` | the HTTP service; implies `predict` | axum, rustls |
//! | `full` | all | all of the above | |
//!
//! Backends of burn, each of which implies `model`:
//!
//! | feature | device |
//! |---|---|
//! | `flex` (default) | CPU |
//! | `ndarray` | CPU, burn's older backend |
//! | `cuda` | NVIDIA GPUs |
//! | `wgpu`, `vulkan` | GPUs with Vulkan, Metal or DirectX 12 |
//!
//! A program that only predicts: `default-features = false, features = ["predict"]`.
//!
//! # Modules
//!
//! | module | what |
//! |---|---|
//! | `core` | stages, exits, costs, devices |
//! | `graph` | a network as a list of operations |
//! | `kernels` | the operations, with CPU kernels |
//! | `nn` | layers with PyTorch's names and numerics |
//! | `backbones`, `heads` | network bodies, exit heads, the multi-exit network |
//! | `losses`, `teachers`, `methods` | what is minimised, who teaches whom, and both together |
//! | `data` | data sets, augmentation, loading |
//! | `picture` | image files decoded, and brought to a network's size |
//! | `policies` | when to stop, and how thresholds are fitted |
//! | `run` | what a run folder holds, and the rules for it |
//! | `train` | recipes, trainer, checkpoints |
//! | `infer` | the runner that really stops early |
//! | `executor` | trained networks compiled for the CPU |
//! | `report` | runs as one page of charts and tables |
//! | `serve` | the HTTP service and its page |
//! | `weights` | the tensors of PyTorch and safetensors files |
//! | `interop` | those weights into networks; export to ONNX and PyTorch |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(feature = "predict", feature = "model"))]
mod compile;
#[cfg(feature = "predict")]
mod error;
#[cfg(feature = "predict")]
mod image;
#[cfg(feature = "predict")]
mod load;
#[cfg(feature = "predict")]
mod network;
#[cfg(feature = "predict")]
mod prediction;

#[cfg(feature = "predict")]
pub use crate::error::Error;
#[cfg(feature = "predict")]
pub use crate::image::{Image, RgbImage};
#[cfg(feature = "predict")]
pub use crate::load::{LoadOptions, load, load_with};
#[cfg(feature = "predict")]
pub use crate::network::Network;
#[cfg(feature = "predict")]
pub use crate::prediction::Prediction;

#[cfg(feature = "model")]
pub use offramp_backbones as backbones;
#[cfg(feature = "model")]
pub use offramp_core as core;
#[cfg(any(feature = "train", feature = "fetch"))]
pub use offramp_data as data;
#[cfg(feature = "predict")]
pub use offramp_executor as executor;
pub use offramp_graph as graph;
#[cfg(feature = "model")]
pub use offramp_heads as heads;
#[cfg(feature = "model")]
pub use offramp_infer as infer;
#[cfg(feature = "interop")]
pub use offramp_interop as interop;
#[cfg(feature = "model")]
pub use offramp_kernels as kernels;
#[cfg(feature = "train")]
pub use offramp_losses as losses;
#[cfg(feature = "train")]
pub use offramp_methods as methods;
#[cfg(feature = "model")]
pub use offramp_nn as nn;
pub use offramp_picture as picture;
pub use offramp_policies as policies;
#[cfg(feature = "report")]
pub use offramp_report as report;
pub use offramp_run as run;
#[cfg(feature = "serve")]
pub use offramp_serve as serve;
#[cfg(feature = "train")]
pub use offramp_teachers as teachers;
#[cfg(feature = "train")]
pub use offramp_train as train;
#[cfg(feature = "interop")]
pub use offramp_weights as weights;

/// The Rust of the README, of the page of the registry and of the book, compiled by `cargo test --doc`.
#[cfg(all(doctest, feature = "predict"))]
mod pages {
    #[doc = include_str!("../pages/README.md")]
    struct Readme;
    #[doc = include_str!("../pages/crates.md")]
    struct Crates;
    #[doc = include_str!("../pages/rust.md")]
    struct Rust;
}
