//! Inference that really stops early.
//!
//! [`Runner`] computes a network segment by segment. After each exit the policy
//! looks at every image; those that stop are answered, the others are gathered
//! into a smaller dense batch and go on. Nothing is computed for an image after
//! its exit, and no segment runs once the last image has left. [`Stream`] is the same with images
//! that come at any time.

mod engine;
mod error;
mod net;
mod queues;
mod runner;
mod stream;

pub use engine::BurnEngine;
pub use error::InferError;
pub use net::EarlyExitNet;
pub use offramp_policies::Answer;
pub use runner::Runner;
pub use stream::Stream;
