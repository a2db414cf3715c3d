//! The basic block.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init};

use super::{ResNetOptions, Shortcut};

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
    pad_stride: usize,
}

/// PyTorch's `downsample = Sequential(conv, bn)`: its members are called 0 and 1.
type Downsample = (Conv2d, BatchNorm2d);

impl BasicBlock {
    pub(super) fn new(
        [input, out]: [usize; 2],
        stride: usize,
        options: ResNetOptions,
        init: &mut Init,
    ) -> Self {
        let conv1 = Conv2dConfig::new(input, out, 3)
            .with_stride(stride)
            .init(init);
        let bn1 = BatchNorm2d::new(out, init);
        let conv2 = Conv2dConfig::new(out, out, 3).init(init);
        let bn2 = match options.zero_init_residual {
            true => BatchNorm2d::new(out, init).zeroed(),
            false => BatchNorm2d::new(out, init),
        };
        let changes = stride != 1 || input != out;
        let downsample = (changes && options.shortcut == Shortcut::Conv).then(|| {
            let conv = Conv2dConfig::new(input, out, 1).with_stride(stride);
            (conv.init(init), BatchNorm2d::new(out, init))
        });
        Self {
            conv1,
            bn1,
            conv2,
            bn2,
            downsample,
            pad_stride: stride,
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second_half(self.first_half(x.clone()), x)
    }

    /// `relu(bn1(conv1(x)))`.
    pub(super) fn first_half(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn1.forward_relu(self.conv1.forward(x))
    }

    /// The output from that of the first half and the block's input.
    pub(super) fn second_half(&self, y: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv2.forward(y);
        let shortcut = match &self.downsample {
            Some((conv, bn)) => bn.forward(conv.forward(x)),
            None => pad_shortcut(x, self.pad_stride, self.conv2.weight.dims()[0]),
        };
        self.bn2.forward_add_relu(y, shortcut)
    }

    pub(super) fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.trace_first_half(b, x)?;
        self.trace_second_half(b, y, x)
    }

    pub(super) fn trace_first_half(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.conv1.trace(b, x)?;
        self.bn1.trace_relu(b, y)
    }

    pub(super) fn trace_second_half(
        &self,
        b: &mut Builder,
        y: Value,
        x: Value,
    ) -> Result<Value, GraphError> {
        let y = self.conv2.trace(b, y)?;
        let shortcut = match &self.downsample {
            Some((conv, bn)) => {
                let x = conv.trace(b, x)?;
                bn.trace(b, x)?
            }
            None => trace_pad_shortcut(b, x, self.pad_stride, self.conv2.weight.dims()[0])?,
        };
        self.bn2.trace_add_relu(b, y, shortcut)
    }

    /// Cost of the first half with the shape of its map, which is the block's, and cost of the
    /// second half, the shortcut's included.
    pub(super) fn costs(&self, map: MapShape) -> ((Cost, MapShape), Cost) {
        let (first, middle) = self.conv1.cost(map);
        let mut second = self.conv2.cost(middle).0 + self.bn2.cost();
        if let Some((conv, bn)) = &self.downsample {
            second += conv.cost(map).0 + bn.cost();
        }
        ((first + self.bn1.cost(), middle), second)
    }
}

/// Option A: subsample, then zeros for the new channels on both sides.
fn pad_shortcut(x: Tensor<4>, stride: usize, channels: usize) -> Tensor<4> {
    let x = match stride {
        1 => x,
        _ => x
            .slice_dim(2, burn::tensor::s![..;stride as isize])
            .slice_dim(3, burn::tensor::s![..;stride as isize]),
    };
    let [n, c, h, w] = x.dims();
    if c == channels {
        return x;
    }
    let before = (channels - c) / 2;
    let zeros = |count| Tensor::zeros([n, count, h, w], &x.device());
    Tensor::cat(
        vec![zeros(before), x.clone(), zeros(channels - c - before)],
        1,
    )
}

/// The same in a graph.
fn trace_pad_shortcut(
    b: &mut Builder,
    x: Value,
    stride: usize,
    channels: usize,
) -> Result<Value, GraphError> {
    let &[c, h, w] = b.shape(x) else {
        return Ok(x);
    };
    let x = match stride {
        1 => x,
        _ => {
            let rows = b.slice(x, 1, 0..h, stride)?;
            b.slice(rows, 2, 0..w, stride)?
        }
    };
    match channels - c {
        0 => Ok(x),
        new => b.pad_channels(x, new / 2, new - new / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn option_a_subsamples_and_pads_on_both_sides() {
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &default_device().unwrap());
        let y = pad_shortcut(x.reshape([1, 1, 2, 2]), 2, 3);
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [0.0, 1.0, 0.0]);
    }
}
