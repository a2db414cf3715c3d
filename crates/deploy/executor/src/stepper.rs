//! One image through a network, exit after exit.

use crate::segments::Segments;
use crate::{ExecutorError, MultiExitPlan};

/// A multi-exit plan that computes one image, one segment per call, for callers that need every exit.
///
/// ```no_run
/// # fn show(plan: offramp_executor::MultiExitPlan, image: &[f32]) -> Result<(), offramp_executor::ExecutorError> {
/// let mut stepper = offramp_executor::Stepper::new(plan);
/// stepper.begin(image)?;
/// while let Some(logits) = stepper.advance()? {
///     println!("{logits:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stepper {
    segments: Segments,
    image: Vec<f32>,
    /// The segment that comes next; all are done at the start.
    next: usize,
    images: u64,
}

impl Stepper {
    /// Takes the memory for one image and starts the threads; later images allocate nothing.
    pub fn new(plan: MultiExitPlan) -> Self {
        let plan = plan.with_batch(1);
        Self {
            image: vec![0.0; plan.pixels()],
            next: plan.num_exits(),
            segments: Segments::new(plan),
            images: 0,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &MultiExitPlan {
        self.segments.plan()
    }

    /// Starts with an image; the one before is given up.
    ///
    /// # Shapes
    /// - `pixels`: `[C, H, W]`, normalised as in training
    ///
    /// # Errors
    /// [`ExecutorError::Pixels`] for another number of pixels or one that is not finite.
    pub fn begin(&mut self, pixels: &[f32]) -> Result<(), ExecutorError> {
        let expected = self.image.len();
        let finite = pixels.iter().take_while(|x| x.is_finite()).count();
        if pixels.len() != expected || finite != expected {
            return Err(ExecutorError::Pixels {
                found: pixels.len(),
                finite,
                expected,
            });
        }
        self.image.copy_from_slice(pixels);
        self.next = 0;
        self.images += 1;
        Ok(())
    }

    /// Computes the next segment; returns the logits `[C]` of its exit, or nothing after the last.
    ///
    /// # Errors
    /// [`ExecutorError::NonFiniteLogit`]: the weights overflow for this image, which is given up.
    pub fn advance(&mut self) -> Result<Option<&[f32]>, ExecutorError> {
        let exit = self.next;
        if exit == self.plan().num_exits() {
            return Ok(None);
        }
        self.segments.compute(exit, &self.image, 1, 0)?;
        let logits = self.segments.logits(exit, 0);
        if let Some(class) = logits.iter().position(|z| !z.is_finite()) {
            let value = logits[class];
            self.next = self.plan().num_exits();
            return Err(ExecutorError::NonFiniteLogit {
                ticket: self.images - 1,
                exit,
                class,
                value,
            });
        }
        self.next += 1;
        Ok(Some(self.segments.logits(exit, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MultiExitExecutor, Options};
    use offramp_graph::{Builder, ConvGeometry, Graph};

    /// Two segments on images `[1, 2, 2]`: the first gives `x` and 3 ReLU(x), the second -2 times that.
    fn plan() -> MultiExitPlan {
        let graph = |factor: f32, outputs: [&str; 2], input: &str| -> Graph {
            let mut b = Builder::new();
            let x = b.input(input, &[1, 2, 2]);
            let weight = b.weight(1, &[1, 1, 1, 1], vec![factor]);
            let y = b.conv(x, weight, None, ConvGeometry::default()).unwrap();
            let y = b.relu(y).unwrap();
            let rows = b.reshape(y, &[4]).unwrap();
            b.finish([(outputs[0], rows), (outputs[1], y)])
        };
        let graphs = [
            graph(3.0, ["logits0", "map"], "image"),
            graph(2.0, ["logits1", "rest"], "map"),
        ];
        let options = Options {
            threads: 1,
            ..Options::default()
        };
        MultiExitPlan::compile(&graphs, 4, options).unwrap()
    }

    #[test]
    fn every_exit_is_shown_and_is_what_batches_get() {
        let image = [-1.0, 0.0, 1.0, 2.0];
        let mut stepper = Stepper::new(plan());
        assert!(stepper.advance().unwrap().is_none(), "no image yet");
        for _ in 0..2 {
            stepper.begin(&image).unwrap();
            assert_eq!(stepper.advance().unwrap().unwrap(), [0.0, 0.0, 3.0, 6.0]);
            assert_eq!(stepper.advance().unwrap().unwrap(), [0.0, 0.0, 6.0, 12.0]);
            assert!(stepper.advance().unwrap().is_none());
        }
        let mut executor = MultiExitExecutor::new(plan());
        let answers = executor.run(1, &image, |_, _, _| false).unwrap();
        assert_eq!(answers.logits, [0.0, 0.0, 6.0, 12.0]);
    }

    #[test]
    fn a_wrong_image_is_an_error_and_the_next_one_is_served() {
        let mut stepper = Stepper::new(plan());
        for image in [&[1.0; 3][..], &[1.0, f32::NAN, 1.0, 1.0]] {
            let error = stepper.begin(image).unwrap_err().to_string();
            assert!(error.contains("takes 4 finite ones"), "{error}");
        }
        stepper.begin(&[f32::MAX; 4]).unwrap();
        let error = stepper.advance().unwrap_err().to_string();
        assert!(
            error.contains("exit 0 gives image 0 a logit of inf"),
            "{error}"
        );
        assert!(stepper.advance().unwrap().is_none(), "it was given up");
        stepper.begin(&[1.0; 4]).unwrap();
        assert_eq!(stepper.advance().unwrap().unwrap(), [3.0; 4]);
    }
}
