//! Layer norm of vectors.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::{Activation, Value, Words};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// `activation(scale * (x - m) / sqrt(v + eps) + shift)` of a vector in cells of `f32`, with its own
/// mean `m` and biased variance `v`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// The vector that is read.
    pub input: Value,
    /// The vector that is written.
    pub output: Value,
    /// One number per channel.
    pub scale: Words,
    /// One number per channel.
    pub shift: Words,
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the result.
    pub activation: Activation,
}

impl LayerNorm {
    /// Runs one of `tasks` parts.
    ///
    /// # Safety
    /// The step was checked against the program; no other task has this number.
    pub(super) unsafe fn run(&self, frame: &Frame, task: usize, tasks: usize) {
        dispatch(Run {
            step: self,
            frame,
            task,
            tasks,
        });
    }
}

struct Run<'a> {
    step: &'a LayerNorm,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { step, frame, .. } = self;
        let width = step.output.layout.shape[0];
        let images = frame.images;
        for image in images * self.task / self.tasks..images * (self.task + 1) / self.tasks {
            // SAFETY: the check has shown that both are vectors of this width without a border and
            // that the weights are whole vectors; the image belongs to this task.
            unsafe {
                let from = frame.read(&step.input, image);
                let x = std::slice::from_raw_parts(from, width);
                let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                let squares = x.iter().map(|&x| (f64::from(x) - mean).powi(2));
                let variance = squares.sum::<f64>() / width as f64;
                let factor = 1.0 / (variance + step.eps).sqrt();
                let to = frame.write(&step.output, image);
                for at in (0..width).step_by(LANES) {
                    let scale = s.load(frame.weights.add(step.scale.start + at));
                    let shift = s.load(frame.weights.add(step.shift.start + at));
                    let centred = s.sub(s.load(from.add(at)), s.splat(mean as f32));
                    let normal = s.mul(centred, s.splat(factor as f32));
                    let y = s.fma(normal, scale, shift);
                    s.store(to.add(at), step.activation.apply(s, y));
                }
            }
        }
    }
}
