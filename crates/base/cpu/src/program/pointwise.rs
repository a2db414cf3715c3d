//! Operations on single numbers of one or two maps.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::layout::{load, store};
use super::{Activation, Value, Words};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// What is computed before the activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointOp {
    /// `x`: to another border or element.
    Copy,
    /// `scale[c] * x + shift[c]`, whole vectors of channels.
    Affine {
        /// One number per channel.
        scale: Words,
        /// One number per channel.
        shift: Words,
    },
    /// `x + other`.
    Add {
        /// Of the shape of the output.
        other: Value,
    },
    /// `x * other`; an axis of `other` of size 1 is repeated.
    Mul {
        /// The second factor.
        other: Value,
    },
}

/// `output = activation(op(input))`; maps in cells, of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pointwise {
    /// The map that is read.
    pub input: Value,
    /// The map that is written.
    pub output: Value,
    /// What is computed.
    pub op: PointOp,
    /// Applied to the result.
    pub activation: Activation,
}

impl Pointwise {
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
    step: &'a Pointwise,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { step, frame, .. } = self;
        let output = &step.output.layout;
        let blocks = output.blocks();
        let units = frame.images * blocks;
        for unit in units * self.task / self.tasks..units * (self.task + 1) / self.tasks {
            let (image, block) = (unit / blocks, unit % blocks);
            for y in 0..output.shape[1] {
                // SAFETY: the check has compared the shapes; the unit belongs to this task.
                unsafe { self.row(s, image, block, y) };
            }
            // SAFETY: as above.
            unsafe {
                let image = frame.write(&step.output, image);
                output.clear_border(image, [block, block + 1], [0, output.shape[1]]);
            }
        }
    }
}

impl Run<'_> {
    /// # Safety
    /// The step was checked, and the row belongs to this task.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, s: S, image: usize, block: usize, y: usize) {
        let Self { step, frame, .. } = self;
        let [input, output] = [&step.input.layout, &step.output.layout];
        // SAFETY: as the caller vouches.
        unsafe {
            let place = |layout: &super::Layout| block * layout.block() + layout.at(y as isize, 0);
            let from = frame.read(&step.input, image).add(place(input));
            let to = frame.write(&step.output, image).add(place(output));
            for x in 0..output.shape[2] {
                let v = load(s, input.element, from.add(x * input.cell()));
                let v = match &step.op {
                    PointOp::Copy => v,
                    PointOp::Affine { scale, shift } => {
                        let [scale, shift] = [scale, shift]
                            .map(|words| s.load(frame.weights.add(words.start + block * LANES)));
                        s.fma(v, scale, shift)
                    }
                    PointOp::Add { other } => {
                        let layout = &other.layout;
                        let cell = place(layout) + x * layout.cell();
                        s.add(
                            v,
                            load(s, layout.element, frame.read(other, image).add(cell)),
                        )
                    }
                    PointOp::Mul { other } => s.mul(
                        v,
                        repeated(s, frame, other, image, [block, y, x], output.shape[0]),
                    ),
                };
                store(
                    s,
                    output.element,
                    to.add(x * output.cell()),
                    step.activation.apply(s, v),
                );
            }
        }
    }
}

/// A cell of a value whose axes of size 1 are repeated.
///
/// # Safety
/// Every axis is 1 or that of the output whose cell is asked for.
#[inline(always)]
unsafe fn repeated<S: Simd>(
    s: S,
    frame: &Frame,
    value: &Value,
    image: usize,
    [block, y, x]: [usize; 3],
    channels: usize,
) -> S::V {
    let layout = &value.layout;
    let [c, h, w] = layout.shape;
    let (y, x) = (if h == 1 { 0 } else { y }, if w == 1 { 0 } else { x });
    let at = layout.at(y as isize, x as isize);
    // SAFETY: as the caller vouches.
    unsafe {
        let from = frame.read(value, image).add(at);
        if c == 1 && channels > 1 {
            s.splat(s.lanes(load(s, layout.element, from))[0])
        } else {
            load(s, layout.element, from.add(block * layout.block()))
        }
    }
}
