//! The operations.

use crate::WeightId;

/// Geometry of a convolution; PyTorch's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Step of the window, `[height, width]`.
    pub stride: [usize; 2],
    /// Zeros added on both sides, `[height, width]`.
    pub padding: [usize; 2],
    /// Distance of neighbouring taps, `[height, width]`.
    pub dilation: [usize; 2],
    /// Number of channel groups.
    pub groups: usize,
}

impl Default for ConvGeometry {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// A pooling window; the output's sides are rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Sides, `[height, width]`.
    pub kernel: [usize; 2],
    /// Step, `[height, width]`.
    pub stride: [usize; 2],
    /// Positions added on both sides, `[height, width]`.
    pub padding: [usize; 2],
}

impl Window {
    /// A square window of the same stride and padding on both axes.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        }
    }
}

/// One operation. A *map* is a value of shape `[C, H, W]`, a *vector* one of shape `[D]`.
///
/// The list is exhaustive on purpose: an operation that is added is a compile error in every reader
/// that does not know it.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Cross-correlation of a map; weight `[C_out, C_in / groups, K_h, K_w]`, bias `[C_out]`.
    Conv {
        /// The kernel.
        weight: WeightId,
        /// Added to every position.
        bias: Option<WeightId>,
        /// Stride, padding, dilation, groups.
        geometry: ConvGeometry,
    },
    /// `x W^T + b` of a vector; weight `[out, in]`, bias `[out]`.
    Linear {
        /// The matrix.
        weight: WeightId,
        /// Added to the result.
        bias: Option<WeightId>,
    },
    /// `scale * (x - mean) / sqrt(variance + eps) + shift` for each channel (axis 0), all `[C]`.
    BatchNorm {
        /// Scale.
        scale: WeightId,
        /// Shift.
        shift: WeightId,
        /// Mean.
        mean: WeightId,
        /// Variance.
        variance: WeightId,
        /// Added to the variance.
        eps: f64,
        /// Share of the batch in the running statistics, in training alone:
        /// `running <- (1 - momentum) running + momentum batch`.
        momentum: f64,
    },
    /// `scale * (x - m) / sqrt(v + eps) + shift` of a vector, with its own mean `m` and biased
    /// variance `v`; scale and shift `[D]`.
    LayerNorm {
        /// Scale.
        scale: WeightId,
        /// Shift.
        shift: WeightId,
        /// Added to the variance.
        eps: f64,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`.
    Clamp {
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(x / 6 + 1/2, 0), 1)`.
    HardSigmoid,
    /// `x * HardSigmoid(x)`.
    HardSwish,
    /// `factor * x`.
    Scale {
        /// The factor.
        factor: f32,
    },
    /// Sum of two values of one shape.
    Add,
    /// Product of two values of one number of axes; an axis of size 1 is repeated.
    Mul,
    /// Largest value in each window; positions outside count as minus infinity.
    MaxPool(Window),
    /// Mean over each window; positions outside count as zeros.
    AvgPool(Window),
    /// PyTorch's `adaptive_avg_pool2d` to `[height, width]`: row `i` is the mean of rows
    /// `floor(i H / height)` to `ceil((i + 1) H / height)`, columns alike.
    AdaptiveAvgPool {
        /// Sides of the output.
        size: [usize; 2],
    },
    /// Mean over positions, a map to a vector.
    GlobalAvgPool,
    /// Values joined along axis 0, the channels.
    Concat,
    /// Every `step`-th entry from `start` to before `end` of one axis.
    Slice {
        /// The axis of the sample.
        axis: usize,
        /// First entry.
        start: usize,
        /// After the last entry; `usize::MAX` is the end of the axis, whatever its size.
        end: usize,
        /// Distance of entries.
        step: usize,
    },
    /// Zeros before and after the channels of a map.
    PadChannels {
        /// Channels of zeros in front.
        before: usize,
        /// Channels of zeros at the end.
        after: usize,
    },
    /// ShuffleNet's exchange between groups: channel `i * C / groups + j` goes to `j * groups + i`.
    Shuffle {
        /// Number of groups.
        groups: usize,
    },
    /// The same numbers under another shape.
    Reshape {
        /// The new shape of the sample.
        shape: Vec<usize>,
    },
}

impl Op {
    /// The name of the kind, in lower case.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "conv",
            Self::Linear { .. } => "linear",
            Self::BatchNorm { .. } => "batch_norm",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Relu => "relu",
            Self::Clamp { .. } => "clamp",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid => "hard_sigmoid",
            Self::HardSwish => "hard_swish",
            Self::Scale { .. } => "scale",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::MaxPool(_) => "max_pool",
            Self::AvgPool(_) => "avg_pool",
            Self::AdaptiveAvgPool { .. } => "adaptive_avg_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::Concat => "concat",
            Self::Slice { .. } => "slice",
            Self::PadChannels { .. } => "pad_channels",
            Self::Shuffle { .. } => "shuffle",
            Self::Reshape { .. } => "reshape",
        }
    }

    /// The weights, in the order of the fields.
    pub fn weights(&self) -> Vec<WeightId> {
        self.clone().weights_mut().into_iter().map(|w| *w).collect()
    }

    /// The same, to be replaced.
    pub(crate) fn weights_mut(&mut self) -> Vec<&mut WeightId> {
        match self {
            Self::Conv { weight, bias, .. } | Self::Linear { weight, bias } => {
                [weight].into_iter().chain(bias).collect()
            }
            Self::BatchNorm {
                scale,
                shift,
                mean,
                variance,
                ..
            } => vec![scale, shift, mean, variance],
            Self::LayerNorm { scale, shift, .. } => vec![scale, shift],
            _ => Vec::new(),
        }
    }
}
