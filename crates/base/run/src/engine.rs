//! What computes a network: the compiled executor or burn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use offramp_policies::{Answer, Rule};
use thiserror::Error;

/// A network that takes new images while others are deep in it.
///
/// Who uses it admits images while there is [`room`](Self::room), and steps while any is
/// [`pending`](Self::pending); so images that came at different times are computed together whenever they
/// wait at the same place. Who has all images at once asks [`answer`](Self::answer).
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

    /// Answers images, in their order. Nothing may be pending.
    ///
    /// # Shapes
    /// - `images`: `[count, 3, H, W]`, normalised as in training
    ///
    /// # Errors
    /// As [`admit`](Self::admit) and [`step`](Self::step).
    fn answer(
        &mut self,
        images: &[f32],
        count: usize,
        rule: &Arc<Rule>,
    ) -> Result<Vec<Answer>, EngineError> {
        let mut answers = BTreeMap::new();
        let size = images.len() / count.max(1);
        let mut waiting = images.chunks_exact(size.max(1)).take(count).peekable();
        while waiting.peek().is_some() || self.pending() > 0 {
            while self.room() > 0
                && let Some(pixels) = waiting.next()
            {
                self.admit(pixels, rule)?;
            }
            if self.pending() == 0 {
                return Err(EngineError(
                    "the engine has no room for an image".to_owned(),
                ));
            }
            answers.extend(self.step()?);
        }
        Ok(answers.into_values().collect())
    }

    /// Milliseconds from the images to the logits of each exit on the host, all images going all the way.
    /// `at_exit` holds for each exit the rule to leave there.
    ///
    /// Without a way to look at every exit of one pass, each exit is timed in a pass of its own.
    ///
    /// # Shapes
    /// - `images`: `[count, 3, H, W]`
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    fn time_to_exits(
        &mut self,
        images: &[f32],
        count: usize,
        at_exit: &[Arc<Rule>],
    ) -> Result<Vec<f64>, EngineError> {
        let time = |rule: &Arc<Rule>| {
            let start = Instant::now();
            self.answer(images, count, rule)?;
            Ok(1e3 * start.elapsed().as_secs_f64())
        };
        at_exit.iter().map(time).collect()
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
