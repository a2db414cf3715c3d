//! Pooling by a window.

use burn::module::Module;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Tensor, module};
use offramp_core::MapShape;
use offramp_graph::{Builder, GraphError, Value, Window};
use offramp_kernels::{avg_pool2d, max_pool2d};

/// Pooling by a square window, PyTorch's `nn.MaxPool2d` and `nn.AvgPool2d`.
#[derive(Module, Debug)]
pub struct Pool {
    maximum: bool,
    #[module(skip)]
    window: Window,
}

impl Pool {
    /// The largest number of each window; positions outside count as minus infinity.
    pub fn max(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            maximum: true,
            window: Window::square(kernel, stride, padding),
        }
    }

    /// The mean over each window; positions outside count as zeros.
    pub fn mean(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            maximum: false,
            window: Window::square(kernel, stride, padding),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Window {
            kernel,
            stride,
            padding,
        } = self.window;
        match (self.maximum, padding) {
            (true, _) => max_pool2d(x, kernel, stride, padding),
            (false, [0, 0]) => avg_pool2d(x, kernel, stride),
            (false, _) => {
                let options = AvgPoolOptions::new(kernel).with_stride(stride);
                module::avg_pool2d(x, options.with_padding(padding))
            }
        }
    }

    pub(super) fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        match self.maximum {
            true => b.max_pool(x, self.window),
            false => b.avg_pool(x, self.window),
        }
    }

    pub(super) fn output(&self, map: MapShape) -> MapShape {
        let side = |axis: usize, side: usize| {
            let [kernel, stride, padding] =
                [self.window.kernel, self.window.stride, self.window.padding].map(|x| x[axis]);
            (side + 2 * padding).saturating_sub(kernel) / stride + 1
        };
        MapShape::new(map.channels, side(0, map.height), side(1, map.width))
    }
}
