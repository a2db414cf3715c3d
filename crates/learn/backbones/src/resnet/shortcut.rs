//! What a block adds to its output.

use burn::module::Module;
use burn::tensor::{Tensor, s};
use offramp_core::{Cost, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init};

use super::{ResNetOptions, ShortcutKind};

/// The way around a block.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "networks have few")]
pub enum Shortcut {
    /// PyTorch's `downsample = Sequential(conv, bn)`: its members are called 0 and 1.
    Conv((Conv2d, BatchNorm2d)),
    /// Every `stride`-th pixel, zeros for new channels.
    Pad(Pad),
}

/// Option A: subsample, then zeros for the new channels on both sides; the identity where neither
/// is needed.
#[derive(Module, Debug)]
pub struct Pad {
    stride: usize,
    channels: usize,
}

impl Shortcut {
    pub(super) fn new(
        [input, out]: [usize; 2],
        stride: usize,
        options: ResNetOptions,
        init: &mut Init,
    ) -> Self {
        let changes = stride != 1 || input != out;
        match changes && options.shortcut == ShortcutKind::Conv {
            true => {
                let conv = Conv2dConfig::new(input, out, 1).with_stride(stride);
                Self::Conv((conv.init(init), BatchNorm2d::new(out, init)))
            }
            false => Self::Pad(Pad {
                stride,
                channels: out,
            }),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv((conv, bn)) => bn.forward(conv.forward(x)),
            Self::Pad(pad) => pad.forward(x),
        }
    }

    pub(super) fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        match self {
            Self::Conv((conv, bn)) => {
                let x = conv.trace(b, x)?;
                bn.trace(b, x)
            }
            Self::Pad(pad) => pad.trace(b, x),
        }
    }

    pub(super) fn cost(&self, map: MapShape) -> Cost {
        match self {
            Self::Conv((conv, bn)) => conv.cost(map).0 + bn.cost(),
            Self::Pad(_) => Cost::default(),
        }
    }
}

impl Pad {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.stride {
            1 => x,
            stride => x
                .slice_dim(2, s![..;stride as isize])
                .slice_dim(3, s![..;stride as isize]),
        };
        let [n, c, h, w] = x.dims();
        if c == self.channels {
            return x;
        }
        let before = (self.channels - c) / 2;
        let zeros = |count| Tensor::zeros([n, count, h, w], &x.device());
        let after = zeros(self.channels - c - before);
        Tensor::cat(vec![zeros(before), x, after], 1)
    }

    fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let &[c, h, w] = b.shape(x) else {
            return Ok(x);
        };
        let x = match self.stride {
            1 => x,
            stride => {
                let rows = b.slice(x, 1, 0..h, stride)?;
                b.slice(rows, 2, 0..w, stride)?
            }
        };
        match self.channels - c {
            0 => Ok(x),
            new => b.pad_channels(x, new / 2, new - new / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn option_a_subsamples_and_pads_on_both_sides() {
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &default_device().unwrap());
        let pad = Pad {
            stride: 2,
            channels: 3,
        };
        let y = pad.forward(x.reshape([1, 1, 2, 2]));
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [0.0, 1.0, 0.0]);
    }
}
