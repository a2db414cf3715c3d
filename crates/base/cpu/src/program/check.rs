//! Whether every step stays within its values and weights.
//!
//! The safety of running a program rests on this file: what it lets pass reads and writes inside the
//! arena, the ports and the weights only.

use thiserror::Error;

use super::conv::MAX_TAPS;
use super::pool::Pool;
use super::{Conv, Copy, Element, Layout, Parts, Place, PointOp, Step, Value, Words};
use crate::simd::LANES;

/// Largest number of inputs, and of outputs.
pub(super) const MAX_PORTS: usize = 64;

/// Whether addresses have 64 bits; 32 in WebAssembly.
const WIDE: bool = usize::BITS >= 64;

/// Most words of a value or an arena, for one image.
pub(super) const MOST_WORDS: usize = if WIDE { 1 << 31 } else { 1 << 28 };

/// Sizes up to this keep all arithmetic on them, products of two and [`MAX_TAPS`] among them, far from
/// overflow.
const SANE: usize = if WIDE { 1 << 20 } else { 1 << 12 };

/// A program that does not fit its memory, or a call that does not fit its program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// A step that would read or write what it must not.
    #[error("step {step} of the program is damaged: {reason}")]
    Step {
        /// Its number, from 0.
        step: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A part of the program as a whole.
    #[error("the program is damaged: {0}")]
    Parts(&'static str),
    /// An input or output of a call.
    #[error("{kind} {port} has {found} words, {images} images need {expected}")]
    Port {
        /// `input` or `output`.
        kind: &'static str,
        /// Its number, from 0.
        port: usize,
        /// Images of the call.
        images: usize,
        /// Words that it needs.
        expected: usize,
        /// Words that it has.
        found: usize,
    },
}

type Checked = Result<(), &'static str>;

fn ensure(fits: bool, reason: &'static str) -> Checked {
    if fits { Ok(()) } else { Err(reason) }
}

/// Checks a whole program for `weights` words of weights.
pub(super) fn check(parts: &Parts, weights: usize) -> Result<(), ProgramError> {
    let fits = |fits: bool, what| {
        if fits {
            Ok(())
        } else {
            Err(ProgramError::Parts(what))
        }
    };
    let ports = parts.inputs.iter().chain(&parts.outputs);
    for layout in ports {
        fits(layout.checked_words().is_some(), "a port without a size")?;
    }
    fits(parts.inputs.len() <= MAX_PORTS, "too many inputs")?;
    fits(parts.outputs.len() <= MAX_PORTS, "too many outputs")?;
    fits(parts.arena < MOST_WORDS, "an arena larger than any memory")?;
    let mut next = 0;
    for phase in &parts.phases {
        let follows = phase.first == next && phase.end > next && phase.images > 0;
        fits(follows, "phases that leave out or repeat steps")?;
        next = phase.end;
    }
    fits(next == parts.steps.len(), "phases of other steps")?;
    let check = Check { parts, weights };
    for (i, step) in parts.steps.iter().enumerate() {
        check
            .step(step)
            .map_err(|reason| ProgramError::Step { step: i, reason })?;
    }
    Ok(())
}

struct Check<'a> {
    parts: &'a Parts,
    weights: usize,
}

impl Check<'_> {
    fn step(&self, step: &Step) -> Checked {
        let output = step.output();
        self.value(output)?;
        let written = !matches!(output.place, Place::Input(_));
        ensure(written, "it writes to an input")?;
        for value in step.inputs() {
            self.value(value)?;
            ensure(disjoint(value, output), "it reads what it writes")?;
        }
        match step {
            Step::Direct(conv) => {
                let f32 = conv.input.layout.element == Element::F32;
                ensure(f32, "it reads bytes as numbers")?;
                let blocks = 0..conv.output.layout.blocks();
                self.conv(conv, |conv| blocks.map(|b| conv.block_words(b)).sum())
            }
            Step::Winograd(conv) => {
                ensure(
                    conv.groups == 1 && conv.is_winograd(),
                    "it does not suit Winograd's filtering",
                )?;
                let layout = &conv.output.layout;
                self.conv(conv, |conv| {
                    16 * layout.blocks() * conv.input.layout.shape[0] * LANES
                })
            }
            Step::Depthwise(conv) => {
                ensure(conv.is_depthwise(), "it is not depthwise")?;
                let blocks = conv.output.layout.blocks();
                self.conv(conv, |conv| blocks * conv.taps() * LANES)
            }
            Step::Quantized(step) => {
                let bytes = step.conv.input.layout.element != Element::F32;
                ensure(bytes && step.conv.groups == 1, "it does not read bytes")?;
                self.vectors(&step.scale, &step.conv.output.layout)?;
                self.conv(&step.conv, |_| step.weight_words())
            }
            Step::Pool(pool) => Self::pool(pool),
            Step::Pointwise(step) => {
                cells(&[&step.input, &step.output])?;
                let shape = step.output.layout.shape;
                ensure(step.input.layout.shape == shape, "its shapes differ")?;
                match &step.op {
                    PointOp::Copy => Ok(()),
                    PointOp::Affine { scale, shift } => {
                        self.vectors(scale, &step.output.layout)?;
                        self.vectors(shift, &step.output.layout)
                    }
                    PointOp::Add { other } => {
                        cells(&[other])?;
                        ensure(other.layout.shape == shape, "its shapes differ")
                    }
                    PointOp::Mul { other } => {
                        cells(&[other])?;
                        let mut axes = other.layout.shape.iter().zip(shape);
                        ensure(
                            axes.all(|(&o, s)| o == 1 || o == s),
                            "its shapes cannot be multiplied",
                        )
                    }
                }
            }
            Step::LayerNorm(step) => {
                cells(&[&step.input, &step.output])?;
                let (input, output) = (&step.input.layout, &step.output.layout);
                let vector = |layout: &Layout| {
                    layout.shape[1..] == [1, 1]
                        && layout.border == 0
                        && layout.element == Element::F32
                };
                ensure(
                    vector(input) && vector(output) && input.shape == output.shape,
                    "it is not on vectors",
                )?;
                self.vectors(&step.scale, output)?;
                self.vectors(&step.shift, output)
            }
            Step::Copy(step) => copy(step),
        }
    }

    /// Whether a value lies in its place.
    fn value(&self, value: &Value) -> Checked {
        let words = value
            .layout
            .checked_words()
            .ok_or("a value without a size")?;
        match value.place {
            Place::Arena(offset) => ensure(
                offset
                    .checked_add(words)
                    .is_some_and(|end| end <= self.parts.arena),
                "a value outside the arena",
            ),
            Place::Input(port) => ensure(
                self.parts.inputs.get(port) == Some(&value.layout),
                "an input that is not there or lies in another way",
            ),
            Place::Output(port) => ensure(
                self.parts.outputs.get(port) == Some(&value.layout),
                "an output that is not there or lies in another way",
            ),
        }
    }

    fn words(&self, words: &Words) -> Checked {
        let end = words.start.checked_add(words.len);
        ensure(
            end.is_some_and(|end| end <= self.weights),
            "weights outside the block",
        )
    }

    /// One number per channel, in whole vectors.
    fn vectors(&self, words: &Words, layout: &Layout) -> Checked {
        self.words(words)?;
        ensure(
            words.len >= layout.blocks() * LANES,
            "fewer numbers than channels",
        )
    }

    /// A convolution of any kind whose packed weights have `weights` words.
    fn conv(&self, conv: &Conv, weights: impl FnOnce(&Conv) -> usize) -> Checked {
        cells(&[&conv.input, &conv.output])?;
        let (input, output) = (&conv.input.layout, &conv.output.layout);
        let sizes = [conv.kernel, conv.stride, conv.dilation].concat();
        let sane = |&n: &usize| (1..SANE).contains(&n);
        ensure(
            sizes.iter().all(sane) && input.shape.iter().chain(&output.shape).all(sane),
            "a size that is zero or too large",
        )?;
        ensure(
            conv.kernel[0] * conv.kernel[1] <= MAX_TAPS,
            "a kernel with too many taps",
        )?;
        let groups = conv.groups;
        let divides = |n: usize| groups > 0 && n.is_multiple_of(groups);
        ensure(
            divides(input.shape[0]) && divides(output.shape[0]),
            "channels that its groups do not divide",
        )?;
        for axis in 0..2 {
            let padding = conv.padding[axis];
            let last = (output.shape[axis + 1] - 1) * conv.stride[axis]
                + (conv.kernel[axis] - 1) * conv.dilation[axis];
            ensure(
                padding <= input.border && last < input.shape[axis + 1] + padding + input.border,
                "a window beyond the border",
            )?;
        }
        if let Some(residual) = &conv.residual {
            cells(&[residual])?;
            ensure(
                residual.layout.shape == output.shape,
                "a residual of another shape",
            )?;
        }
        self.words(&conv.weight)?;
        ensure(
            weights(conv) == conv.weight.len,
            "weights of another size than its shapes",
        )?;
        self.vectors(&conv.bias, output)
    }

    fn pool(pool: &Pool) -> Checked {
        cells(&[&pool.input, &pool.output])?;
        let (input, output) = (pool.input.layout.shape, pool.output.layout.shape);
        ensure(input[0] == output[0], "its channels differ")?;
        for (ranges, axis) in [(&pool.rows, 1), (&pool.columns, 2)] {
            ensure(ranges.len() == output[axis], "windows and outputs differ")?;
            let inside = |range: &[usize; 2]| range[0] <= range[1] && range[1] <= input[axis];
            ensure(ranges.iter().all(inside), "a window outside the map")?;
        }
        Ok(())
    }
}

/// Whether values are in cells of sixteen.
fn cells(values: &[&Value]) -> Checked {
    ensure(
        values.iter().all(|value| value.layout.lanes == LANES),
        "a value that is not in cells",
    )
}

fn disjoint(a: &Value, b: &Value) -> bool {
    match (a.place, b.place) {
        (Place::Arena(from), Place::Arena(to)) => {
            from + a.layout.words() <= to || to + b.layout.words() <= from
        }
        (from, to) => from != to,
    }
}

fn copy(step: &Copy) -> Checked {
    let output = &step.output.layout;
    ensure(output.element == Element::F32, "it copies bytes")?;
    for (value, runs) in &step.sources {
        ensure(value.layout.element == Element::F32, "it copies bytes")?;
        for run in runs {
            let end =
                |first: usize, step: usize| step.checked_mul(run.count - 1)?.checked_add(first);
            let inside = run.count > 0
                && end(run.from, run.from_step).is_some_and(|at| at < value.layout.words())
                && end(run.to, run.to_step).is_some_and(|at| at < output.words());
            ensure(inside, "it copies from or to outside a value")?;
        }
    }
    Ok(())
}
