//! A batch through a network with several exits: each image leaves at its own.

use crate::segments::Segments;
use crate::{ExecutorError, MultiExitPlan};

/// A multi-exit plan with its memory and threads, for whole batches.
///
/// Knows no policy: the caller decides which images stop. [`Stream`](crate::Stream) follows policies, and takes
/// images at any time.
#[derive(Debug)]
pub struct MultiExitExecutor {
    segments: Segments,
    /// The images of the current batch, by row.
    waiting: Vec<usize>,
    exits: Vec<usize>,
    logits: Vec<f32>,
    /// Images that each segment was computed for.
    reached: Vec<usize>,
    classes: usize,
}

/// The answers to a batch, in its order.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// The exit that each image took, from 0.
    pub exits: &'a [usize],
    /// The logits of that exit, `[N, C]`.
    pub logits: &'a [f32],
    /// For how many images each segment was computed.
    pub reached: &'a [usize],
}

impl MultiExitExecutor {
    /// Takes the memory and starts the threads; later runs allocate nothing.
    pub fn new(plan: MultiExitPlan) -> Self {
        let (batch, exits) = (plan.batch(), plan.num_exits());
        let classes = (0..exits).map(|exit| plan.classes(exit)).max().unwrap_or(0);
        Self {
            waiting: Vec::with_capacity(batch),
            exits: vec![0; batch],
            logits: vec![0.0; batch * classes],
            reached: vec![0; exits],
            classes,
            segments: Segments::new(plan),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &MultiExitPlan {
        self.segments.plan()
    }

    /// Answers `images` images, any number up to the plan's batch.
    ///
    /// After each segment `stop(exit, image, logits)` is called for every image that is there, in the
    /// order of the batch; at the last exit it is not called. Images that go on move together, in cells
    /// as they are; nothing is computed for an image after its exit, and no segment runs once the last
    /// image has left.
    ///
    /// # Shapes
    /// - `images_in`: `[images, C, H, W]`
    ///
    /// # Errors
    /// [`ExecutorError::Batch`] for too many images, [`ExecutorError::Program`] for another number of
    /// pixels.
    pub fn run(
        &mut self,
        images: usize,
        images_in: &[f32],
        mut stop: impl FnMut(usize, usize, &[f32]) -> bool,
    ) -> Result<Answers<'_>, ExecutorError> {
        if images > self.plan().batch() {
            return Err(ExecutorError::Batch {
                images,
                most: self.plan().batch(),
            });
        }
        self.reached.fill(0);
        self.waiting.clear();
        self.waiting.extend(0..images);
        for exit in 0..self.plan().num_exits() {
            let count = self.waiting.len();
            self.segments.compute(exit, images_in, count, 0)?;
            self.reached[exit] = count;
            self.leave(exit, &mut stop);
            if self.waiting.is_empty() {
                break;
            }
        }
        Ok(Answers {
            exits: &self.exits[..images],
            logits: &self.logits[..images * self.classes],
            reached: &self.reached,
        })
    }

    /// Answers the images that stop and closes the gaps that they leave.
    fn leave(&mut self, exit: usize, stop: &mut impl FnMut(usize, usize, &[f32]) -> bool) {
        let is_last = exit + 1 == self.plan().num_exits();
        let mut kept = 0;
        for row in 0..self.waiting.len() {
            let image = self.waiting[row];
            let logits = self.segments.logits(exit, row);
            if is_last || stop(exit, image, logits) {
                self.exits[image] = exit;
                self.logits[image * self.classes..][..logits.len()].copy_from_slice(logits);
                continue;
            }
            if kept < row {
                self.segments.shift(exit, row..row + 1, kept);
                self.waiting[kept] = image;
            }
            kept += 1;
        }
        self.waiting.truncate(kept);
    }
}
