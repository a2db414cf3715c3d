//! The interface of engines.

use std::sync::Arc;

use offramp_policies::{Answer, Rule};
use thiserror::Error;

/// A network that takes new images while others are deep in it.
///
/// One a model, owned by its thread. The service admits images while there is [`room`](Self::room), and
/// steps while any is [`pending`](Self::pending); so images of different requests are computed together
/// whenever they wait at the same place.
pub trait Engine: Send {
    /// Takes one normalised image, planar `[3, H, W]`, and the rule it stops by; returns its ticket.
    ///
    /// # Errors
    /// When the image or the rule is for another network, or there is no room. Images before stay.
    fn admit(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<u64, EngineError>;

    /// How many more images it takes now.
    fn room(&self) -> usize;

    /// How many images wait for an answer.
    fn pending(&self) -> usize;

    /// Computes one segment for waiting images, and answers those that stop there.
    ///
    /// # Errors
    /// When it cannot; images may then be lost, which no longer count as pending.
    fn step(&mut self) -> Result<Vec<(u64, Answer)>, EngineError>;

    /// How many images the last step computed; `None` where it is not counted.
    fn batch(&self) -> Option<usize> {
        None
    }
}

/// Why an engine did not answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct EngineError(pub String);

impl EngineError {
    /// The message of another error.
    pub fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}
