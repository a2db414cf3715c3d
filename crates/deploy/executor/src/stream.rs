//! Images that come at any time, each with its own rule.

use std::sync::Arc;

use offramp_policies::{Answer, Decision, Rule, SampleState, SegmentQueue, next_segment};

use crate::segments::Segments;
use crate::{ExecutorError, MultiExitPlan};

/// A multi-exit plan that takes new images while others are deep in the network.
///
/// [`admit`](Self::admit) adds an image to the queue of the first segment; [`step`](Self::step) computes one
/// segment for images that wait for it, whenever they came, and returns the answers of those that stop
/// there. Images that go on lie next to each other in the queue of the next segment, so that every segment
/// computes a dense batch. [`next_segment`] chooses the segment.
///
/// ```no_run
/// # fn serve(
/// #     plan: offramp_executor::MultiExitPlan,
/// #     macs: Vec<u64>,
/// #     rule: std::sync::Arc<offramp_policies::Rule>,
/// #     mut arrival: impl FnMut() -> Option<Vec<f32>>,
/// # ) -> Result<(), offramp_executor::ExecutorError> {
/// let mut stream = offramp_executor::Stream::new(plan, macs)?;
/// loop {
///     while stream.room() > 0
///         && let Some(pixels) = arrival()
///     {
///         stream.admit(&pixels, &rule)?;
///     }
///     if stream.pending() == 0 {
///         break;
///     }
///     for (ticket, answer) in stream.step()? {
///         println!("image {ticket}: class {} at exit {}", answer.class, answer.exit);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream {
    segments: Segments,
    macs: Vec<u64>,
    /// The images that wait for the first segment, `[batch, C, H, W]`.
    images: Vec<f32>,
    /// For each segment the images that wait for it, by row.
    waiting: Vec<Vec<WaitingImage>>,
    /// Answers that an error kept from being returned.
    ready: Vec<(u64, Answer)>,
    /// States of images that have left, to be reused.
    spare: Vec<SampleState>,
    tickets: u64,
    steps: u64,
    /// Images of the last step.
    computed: usize,
}

#[derive(Debug)]
struct WaitingImage {
    ticket: u64,
    rule: Arc<Rule>,
    state: SampleState,
    /// The step after which it came here.
    since: u64,
}

impl Stream {
    /// Takes the memory and starts the threads; `macs[k]` is what it costs to answer at exit `k`.
    ///
    /// At most as many images as the plan's batch wait for each segment, and are computed
    /// together.
    ///
    /// # Errors
    /// [`ExecutorError::Costs`] when the number of costs is not that of the exits.
    pub fn new(plan: MultiExitPlan, macs: Vec<u64>) -> Result<Self, ExecutorError> {
        let (exits, batch) = (plan.num_exits(), plan.batch());
        if macs.len() != exits {
            return Err(ExecutorError::Costs {
                found: macs.len(),
                exits,
            });
        }
        Ok(Self {
            images: vec![0.0; batch * plan.pixels()],
            waiting: (0..exits).map(|_| Vec::with_capacity(batch)).collect(),
            ready: Vec::new(),
            spare: Vec::new(),
            segments: Segments::new(plan),
            macs,
            tickets: 0,
            steps: 0,
            computed: 0,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &MultiExitPlan {
        self.segments.plan()
    }

    /// Multiply-accumulates to each exit.
    pub fn macs(&self) -> &[u64] {
        &self.macs
    }

    /// How many more images [`admit`](Self::admit) takes now.
    pub fn room(&self) -> usize {
        self.plan().batch() - self.waiting[0].len()
    }

    /// How many images wait for an answer.
    pub fn pending(&self) -> usize {
        self.waiting.iter().map(Vec::len).sum::<usize>() + self.ready.len()
    }

    /// How many images the last [`step`](Self::step) computed together.
    pub fn computed(&self) -> usize {
        self.computed
    }

    /// Adds an image to the queue of the first segment. Returns its ticket, counted from 0.
    ///
    /// # Shapes
    /// - `pixels`: `[C, H, W]`, normalised as in training
    ///
    /// # Errors
    /// [`ExecutorError::Full`] without [`room`](Self::room), [`ExecutorError::Pixels`] for another number
    /// of pixels or one that is not finite, [`ExecutorError::Policy`] for a rule of another network.
    pub fn admit(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<u64, ExecutorError> {
        let expected = self.plan().pixels();
        if pixels.len() != expected || !all_finite(pixels) {
            return Err(ExecutorError::Pixels {
                found: pixels.len(),
                finite: pixels.iter().take_while(|x| x.is_finite()).count(),
                expected,
            });
        }
        if self.room() == 0 {
            return Err(ExecutorError::Full {
                waiting: self.waiting[0].len(),
            });
        }
        rule.check(self.plan().num_exits(), self.plan().classes(0))?;
        let row = self.waiting[0].len();
        self.images[row * expected..][..expected].copy_from_slice(pixels);
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting[0].push(WaitingImage {
            ticket,
            rule: rule.clone(),
            state: self.spare.pop().unwrap_or_default(),
            since: self.steps,
        });
        Ok(ticket)
    }

    /// Computes one segment, and answers the images that stop there; nothing when no image waits.
    ///
    /// # Errors
    /// [`ExecutorError::NonFiniteLogit`] with the ticket of an image that will have no answer: the
    /// weights overflow for it. All others go on, and answers of this step come with the next one.
    pub fn step(&mut self) -> Result<Vec<(u64, Answer)>, ExecutorError> {
        let mut answers = std::mem::take(&mut self.ready);
        let (last, batch) = (self.waiting.len() - 1, self.plan().batch());
        let room = |k: usize| {
            if k == last {
                batch
            } else {
                batch - self.waiting[k + 1].len()
            }
        };
        let front = |(k, waiting): (usize, &Vec<WaitingImage>)| SegmentQueue {
            samples: waiting.len().min(room(k)),
            waited: waiting.first().map_or(0, |first| self.steps - first.since),
        };
        let queues: Vec<SegmentQueue> = self.waiting.iter().enumerate().map(front).collect();
        let Some(k) = next_segment(&queues, batch) else {
            return Ok(answers);
        };
        self.steps += 1;
        self.computed = queues[k].samples;
        match self.pass(k, queues[k].samples, &mut answers)? {
            None => Ok(answers),
            Some(error) => {
                self.ready = answers;
                Err(error)
            }
        }
    }

    /// Answers images in their order, all with one rule, however many there are.
    ///
    /// Answers of images that were admitted before come with the next [`step`](Self::step).
    ///
    /// # Shapes
    /// - `pixels`: `[N, C, H, W]`
    ///
    /// # Errors
    /// Those of [`admit`](Self::admit) and [`step`](Self::step).
    pub fn run(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<Vec<Answer>, ExecutorError> {
        let first = self.tickets;
        let mut answers = Vec::new();
        let done = self.drain(pixels, rule, &mut answers);
        let others = answers.extract_if(.., |(ticket, _)| *ticket < first);
        self.ready.extend(others);
        done?;
        answers.sort_unstable_by_key(|(ticket, _)| *ticket);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Admits images and steps until no image waits.
    fn drain(
        &mut self,
        pixels: &[f32],
        rule: &Arc<Rule>,
        answers: &mut Vec<(u64, Answer)>,
    ) -> Result<(), ExecutorError> {
        let mut images = pixels.chunks(self.plan().pixels()).peekable();
        while images.peek().is_some() || self.pending() > 0 {
            while self.room() > 0
                && let Some(image) = images.next()
            {
                self.admit(image, rule)?;
            }
            answers.extend(self.step()?);
        }
        Ok(())
    }

    /// Computes segment `k` for the first `rows` images that wait for it; returns the error that left one
    /// of them without an answer.
    fn pass(
        &mut self,
        k: usize,
        rows: usize,
        answers: &mut Vec<(u64, Answer)>,
    ) -> Result<Option<ExecutorError>, ExecutorError> {
        let to = self.waiting.get(k + 1).map_or(0, Vec::len);
        let pixels = self.plan().pixels();
        self.segments
            .compute(k, &self.images[..rows * pixels], rows, to)?;
        let mut samples = std::mem::take(&mut self.waiting[k]);
        let (mut kept, mut error) = (to, None);
        for (row, mut image) in (to..).zip(samples.drain(..rows)) {
            let logits = self.segments.logits(k, row);
            if let Some(class) = logits.iter().position(|z| !z.is_finite()) {
                error = Some(ExecutorError::NonFiniteLogit {
                    ticket: image.ticket,
                    exit: k,
                    class,
                    value: logits[class],
                });
                continue;
            }
            let (view, decision) = image.state.step(&image.rule, logits);
            if decision == Decision::Exit {
                let answer = Answer::new(k, &view, &self.macs, logits);
                answers.push((image.ticket, answer));
                image.state.clear();
                self.spare.push(image.state);
                continue;
            }
            if kept < row {
                self.segments.shift(k, row..row + 1, kept);
            }
            image.since = self.steps;
            self.waiting[k + 1].push(image);
            kept += 1;
        }
        self.close_gap(k, rows, samples.len());
        self.waiting[k] = samples;
        Ok(error)
    }

    /// Moves the `rest` images that wait for segment `k` to the place of the `rows` that were computed.
    fn close_gap(&mut self, k: usize, rows: usize, rest: usize) {
        match k.checked_sub(1) {
            _ if rest == 0 => {}
            None => {
                let pixels = self.plan().pixels();
                let from = rows * pixels..(rows + rest) * pixels;
                self.images.copy_within(from, 0);
            }
            Some(before) => self.segments.shift(before, rows..rows + rest, 0),
        }
    }
}

/// Whether no value is NaN or infinite; without an early end, so that it takes many values at a time.
fn all_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, x| all & x.is_finite())
}
