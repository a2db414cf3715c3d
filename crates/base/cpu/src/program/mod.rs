//! Inference as a list of checked steps over planned memory.
//!
//! A [`Program`] is what a compiler makes of a trained network: steps such as "convolution, bias,
//! residual, ReLU", each reading and writing values at fixed places of one *arena*, and one block of
//! packed weights. [`Program::new`] checks every place, shape and size, so that a program from a
//! damaged file is an error and running a checked one is safe. A [`Machine`] has the memory and the
//! threads; running allocates nothing.
//!
//! Maps lie in cells of sixteen channels with a border of zeros ([`Layout`]): a convolution reads them
//! without copies and without edges, and a cell is a vector.
//!
//! Results do not depend on the number of threads or on how a batch is cut.

mod activation;
mod check;
mod conv;
mod copy;
mod depthwise;
mod frame;
mod layout;
mod machine;
mod norm;
mod phase;
mod pointwise;
mod pool;
mod quantized;
mod tile;
mod weights;
mod winograd;
mod workers;

use serde::{Deserialize, Serialize};

pub use activation::Activation;
pub use check::ProgramError;
pub use conv::Conv;
pub use copy::{Copy, Run};
pub use layout::{Element, Layout};
pub use machine::Machine;
pub use norm::LayerNorm;
pub use phase::Phase;
pub use pointwise::{PointOp, Pointwise};
pub use pool::{Pool, Pooling};
pub use quantized::{ByteWeights, Quantized};
pub use weights::{FileBytes, Weights, Words};

use frame::Frame;

/// Where a value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Word of the arena, for a run over one image; for `n` images everything is `n` times as large.
    Arena(usize),
    /// An input of the program.
    Input(usize),
    /// An output of the program.
    Output(usize),
}

/// A map that steps read and write.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Where it is.
    pub place: Place,
    /// How it lies there.
    pub layout: Layout,
}

/// One pass over the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A convolution by its definition; weights from [`Conv::pack`].
    Direct(Conv),
    /// A convolution by Winograd's filtering; weights from [`Conv::pack_winograd`].
    Winograd(Conv),
    /// A depthwise convolution; weights from [`Conv::pack_depthwise`].
    Depthwise(Conv),
    /// A convolution of bytes.
    Quantized(Quantized),
    /// Pooling.
    Pool(Pool),
    /// Operations on single numbers.
    Pointwise(Pointwise),
    /// Layer norm.
    LayerNorm(LayerNorm),
    /// Numbers brought to other places.
    Copy(Copy),
}

impl Step {
    /// The value that the step writes.
    pub fn output(&self) -> &Value {
        match self {
            Self::Direct(step) | Self::Winograd(step) | Self::Depthwise(step) => &step.output,
            Self::Quantized(step) => &step.conv.output,
            Self::Pool(step) => &step.output,
            Self::Pointwise(step) => &step.output,
            Self::LayerNorm(step) => &step.output,
            Self::Copy(step) => &step.output,
        }
    }

    /// The values that it reads.
    pub fn inputs(&self) -> Vec<&Value> {
        match self {
            Self::Direct(step) | Self::Winograd(step) | Self::Depthwise(step) => {
                [&step.input].into_iter().chain(&step.residual).collect()
            }
            Self::Quantized(step) => {
                let conv = &step.conv;
                [&conv.input].into_iter().chain(&conv.residual).collect()
            }
            Self::Pool(step) => vec![&step.input],
            Self::Pointwise(step) => match &step.op {
                PointOp::Add { other } | PointOp::Mul { other } => vec![&step.input, other],
                _ => vec![&step.input],
            },
            Self::LayerNorm(step) => vec![&step.input],
            Self::Copy(step) => step.sources.iter().map(|(value, _)| value).collect(),
        }
    }

    /// Its values, to be placed.
    pub fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Direct(step) | Self::Winograd(step) | Self::Depthwise(step) => {
                let all = [&mut step.output, &mut step.input].into_iter();
                all.chain(&mut step.residual).collect()
            }
            Self::Quantized(step) => {
                let conv = &mut step.conv;
                let all = [&mut conv.output, &mut conv.input].into_iter();
                all.chain(&mut conv.residual).collect()
            }
            Self::Pool(step) => vec![&mut step.output, &mut step.input],
            Self::Pointwise(step) => match &mut step.op {
                PointOp::Add { other } | PointOp::Mul { other } => {
                    vec![&mut step.output, &mut step.input, other]
                }
                _ => vec![&mut step.output, &mut step.input],
            },
            Self::LayerNorm(step) => vec![&mut step.output, &mut step.input],
            Self::Copy(step) => {
                let sources = step.sources.iter_mut().map(|(value, _)| value);
                [&mut step.output].into_iter().chain(sources).collect()
            }
        }
    }

    /// Words of weights that it reads for every run.
    fn weight_words(&self) -> usize {
        match self {
            Self::Direct(step) | Self::Winograd(step) | Self::Depthwise(step) => step.weight.len,
            Self::Quantized(step) => step.conv.weight.len,
            _ => 0,
        }
    }

    /// Words of scratch memory that a thread needs for it.
    fn scratch(&self) -> usize {
        match self {
            Self::Winograd(step) => step.winograd_scratch(),
            _ => 0,
        }
    }

    /// Runs one of `tasks` parts.
    ///
    /// # Safety
    /// The step belongs to the checked program whose memory the frame describes, no other task has
    /// this number, and the steps before it are done.
    unsafe fn run(&self, frame: &Frame, task: usize, tasks: usize) {
        // SAFETY: as the caller vouches.
        unsafe {
            match self {
                Self::Direct(step) => step.run(frame, task, tasks),
                Self::Winograd(step) => step.run_winograd(frame, task, tasks),
                Self::Depthwise(step) => step.run_depthwise(frame, task, tasks),
                Self::Quantized(step) => step.run(frame, task, tasks),
                Self::Pool(step) => step.run(frame, task, tasks),
                Self::Pointwise(step) => step.run(frame, task, tasks),
                Self::LayerNorm(step) => step.run(frame, task, tasks),
                Self::Copy(step) => step.run(frame, task, tasks),
            }
        }
    }
}

/// What a program consists of, without its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// How many images go through which steps at once; together all steps in order.
    pub phases: Vec<Phase>,
    /// How each input lies, of one image.
    pub inputs: Vec<Layout>,
    /// How each output lies, of one image.
    pub outputs: Vec<Layout>,
    /// Words of the arena for one image.
    pub arena: usize,
}

/// Checked steps with their weights.
#[derive(Clone, Debug)]
pub struct Program {
    parts: Parts,
    weights: Weights,
}

impl Program {
    /// Checks every step.
    ///
    /// # Errors
    /// [`ProgramError`] names the first step that would leave its values or weights.
    pub fn new(parts: Parts, weights: Weights) -> Result<Self, ProgramError> {
        check::check(&parts, weights.len())?;
        Ok(Self { parts, weights })
    }

    /// The steps, ports and sizes.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The packed weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}
