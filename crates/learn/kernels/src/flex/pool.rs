//! Pooling on tensors.

use burn::backend::flex::FlexTensor;

use super::tensor::{channels_last, readable, rows, shape4};
use offramp_cpu::memory::Buffer;
use offramp_cpu::pool::{self, Pooling, Window};

/// The pooled map, channels-last.
pub(crate) fn forward(pooling: Pooling, window: Window, x: &FlexTensor) -> FlexTensor {
    let x = readable(x);
    let shape = shape4(&x);
    let output = window.output(shape);
    let mut out = Buffer::new(output.iter().product());
    pool::forward(pooling, window, shape, &rows(&x), &mut out);
    channels_last(out, output)
}

/// The input gradient; `inputs` are the forward pass's input and output, for the maximum.
pub(crate) fn backward(
    pooling: Pooling,
    window: Window,
    shape: [usize; 4],
    inputs: Option<&[FlexTensor; 2]>,
    dy: &FlexTensor,
) -> FlexTensor {
    let dy = readable(dy);
    let mut dx = Buffer::new(shape.iter().product());
    match inputs {
        Some([x, y]) => {
            let (x, y) = (readable(x), readable(y));
            let slices = [&rows(&x)[..], &rows(&y), &rows(&dy)];
            pool::backward(pooling, window, shape, slices, &mut dx);
        }
        None => pool::backward(pooling, window, shape, [&[], &[], &rows(&dy)], &mut dx),
    }
    channels_last(dx, shape)
}
