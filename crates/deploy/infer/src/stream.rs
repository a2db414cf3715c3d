//! Takes new images while others are between two exits.

use std::ops::Range;

use burn::tensor::Tensor;
use offramp_core::Features;
use offramp_policies::{Answer, Decision, SampleState};

use crate::queues::{Group, SegmentQueues, WaitingImage};
use crate::{EarlyExitNet, InferError, Runner};

/// A runner that takes new images while others are deep in the network.
///
/// [`admit`](Self::admit) adds images to the queue of the first segment; [`step`](Self::step) computes one
/// segment for one batch of waiting images, whenever they were admitted, and returns the
/// answers of those that stop there. An image is answered by the step that computes its exit: it
/// never waits for the others of its batch. No image waits forever either: after as many steps as
/// the network has exits, a segment is computed next even if others have more images waiting.
///
/// ```no_run
/// # fn serve(
/// #     runner: &offramp_infer::Runner<offramp_heads::MultiExitNet>,
/// #     mut arrivals: impl FnMut() -> Option<burn::tensor::Tensor<4>>,
/// # ) -> Result<(), offramp_infer::InferError> {
/// let mut stream = runner.stream();
/// while let Some(images) = arrivals() {
///     stream.admit(images)?;
///     for (ticket, answer) in stream.step()? {
///         println!("image {ticket}: class {} at exit {}", answer.class, answer.exit);
///     }
/// }
/// let rest = stream.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stream<'r, N> {
    runner: &'r Runner<N>,
    waiting: SegmentQueues,
    max_batch: usize,
    tickets: u64,
    steps: u64,
}

impl<'r, N: EarlyExitNet> Stream<'r, N> {
    pub(crate) fn new(runner: &'r Runner<N>) -> Self {
        Self {
            runner,
            waiting: SegmentQueues::new(runner.net.num_exits()),
            max_batch: usize::MAX,
            tickets: 0,
            steps: 0,
        }
    }

    /// Computes at most `images` images together, at least 1; bounds memory and the time of a step.
    ///
    /// Applies to what is admitted from now on.
    #[must_use]
    pub fn with_max_batch(mut self, images: usize) -> Self {
        self.max_batch = images.max(1);
        self
    }

    /// Adds images to the queue of the first segment. Returns their tickets, counted from 0 in
    /// the order of admission.
    ///
    /// # Shapes
    /// - `x`: `[N, 3, H, W]`, normalised as in training; as large as all admitted before
    ///
    /// # Errors
    /// [`ImageShape`](InferError::ImageShape) for images of another size than the runner's; the images
    /// before stay as they were.
    pub fn admit(&mut self, x: Tensor<4>) -> Result<Range<u64>, InferError> {
        self.runner.check_images(&x)?;
        let first = self.tickets;
        let n = x.dims()[0];
        for start in (0..n).step_by(self.max_batch) {
            let end = n.min(start.saturating_add(self.max_batch));
            let part = if end - start == n {
                x.clone()
            } else {
                x.clone().slice_dim(0, start..end)
            };
            let samples = (start..end).map(|row| WaitingImage {
                ticket: first + row as u64,
                state: SampleState::default(),
            });
            let group = Group {
                features: Features::from(part),
                previous: None,
                samples: samples.collect(),
                since: self.steps,
            };
            self.waiting.push(0, group);
        }
        self.tickets += n as u64;
        Ok(first..self.tickets)
    }

    /// How many images wait for an answer.
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// How many images wait for each segment.
    pub fn depths(&self) -> Vec<usize> {
        let exits = self.runner.net.num_exits();
        (0..exits).map(|exit| self.waiting.at(exit)).collect()
    }

    /// Computes one segment for one batch, and answers the images that stop there; nothing when no
    /// image waits.
    ///
    /// # Errors
    /// [`NonFiniteLogit`](InferError::NonFiniteLogit), with the ticket of the first image that has one,
    /// and [`Policy`](InferError::Policy) when the policy was fitted for other classes. The images of
    /// that batch are lost, the others wait on.
    pub fn step(&mut self) -> Result<Vec<(u64, Answer)>, InferError> {
        let Some((exit, group)) = self.waiting.take(self.max_batch, self.steps) else {
            return Ok(Vec::new());
        };
        self.steps += 1;
        let (answered, staying) = self.runner.pass(exit, group)?;
        if let Some(mut staying) = staying {
            staying.since = self.steps;
            self.waiting.push(exit + 1, staying);
        }
        Ok(answered)
    }

    /// Steps until no image waits. Answers are in the order of the steps.
    ///
    /// # Errors
    /// Those of [`step`](Self::step).
    pub fn finish(&mut self) -> Result<Vec<(u64, Answer)>, InferError> {
        let mut answers = Vec::with_capacity(self.pending());
        while self.pending() > 0 {
            answers.extend(self.step()?);
        }
        Ok(answers)
    }
}

/// The answers of those that stopped, with their numbers, and the others.
pub(crate) type Answered = (Vec<(u64, Answer)>, Option<Group>);

impl<N: EarlyExitNet> Runner<N> {
    /// Computes segment `exit` for a group: the answers of those that stop, and the others, dense.
    pub(crate) fn pass(&self, exit: usize, mut group: Group) -> Result<Answered, InferError> {
        let features = self.net.segment(exit, group.features);
        let logits = (self.net).logits(exit, features.map.clone(), group.previous.take());
        let device = logits.device();
        let classes = logits.dims()[1];
        self.rule.check(self.net.num_exits(), classes)?;
        let values: Vec<f32> = logits.clone().into_data().iter::<f32>().collect();
        let (mut answered, mut staying) = (Vec::new(), Vec::new());
        for (row, (image, logits)) in (group.samples.iter_mut())
            .zip(values.chunks(classes))
            .enumerate()
        {
            check_finite(logits, image.ticket, exit)?;
            let (view, decision) = image.state.step(&self.rule, logits);
            match decision {
                Decision::Exit => {
                    let answer = Answer::new(exit, &view, &self.macs, logits);
                    answered.push((image.ticket, answer));
                }
                Decision::Continue => staying.push(row),
            }
        }
        let all = staying.len() == group.samples.len();
        group.features = features;
        group.previous = Some(logits);
        let rest = match staying.as_slice() {
            [] => None,
            _ if all => Some(group),
            staying => Some(group.select(staying, &device)),
        };
        Ok((answered, rest))
    }
}

fn check_finite(logits: &[f32], image: u64, exit: usize) -> Result<(), InferError> {
    match logits.iter().position(|z| !z.is_finite()) {
        Some(class) => Err(InferError::NonFiniteLogit {
            image,
            exit,
            class,
            value: logits[class],
        }),
        None => Ok(()),
    }
}
