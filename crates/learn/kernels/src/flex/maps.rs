//! Element passes over maps, and maps side by side, on tensors.

use burn::backend::flex::FlexTensor;
use offramp_cpu::elementwise::{copy_columns, map, map2};
use offramp_cpu::memory::Buffer;

use super::tensor::{channels_last, readable, rows, shape4};
use crate::Activation;

fn hard_sigmoid(x: f32) -> f32 {
    (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
}

/// `f(x)`, channels-last.
pub(crate) fn activate(x: &FlexTensor, activation: Activation) -> FlexTensor {
    let x = readable(x);
    let shape = shape4(&x);
    let x = rows(&x);
    let mut out = Buffer::new(x.len());
    // Comparisons in this order keep a NaN.
    match activation {
        Activation::Relu => map(&x, &mut out, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::Relu6 => map(&x, &mut out, |x| x.clamp(0.0, 6.0)),
        Activation::HardSigmoid => map(&x, &mut out, hard_sigmoid),
        Activation::HardSwish => map(&x, &mut out, |x| x * hard_sigmoid(x)),
    }
    channels_last(out, shape)
}

/// `f'(x) dy`, as PyTorch defines it at the corners.
pub(crate) fn activate_backward(
    x: &FlexTensor,
    dy: &FlexTensor,
    activation: Activation,
) -> FlexTensor {
    let (x, dy) = (readable(x), readable(dy));
    let shape = shape4(&x);
    let (x, dy) = (rows(&x), rows(&dy));
    let mut dx = Buffer::new(x.len());
    match activation {
        Activation::Relu => map2(&x, &dy, &mut dx, |x, dy| if x > 0.0 { dy } else { 0.0 }),
        Activation::Relu6 => map2(
            &x,
            &dy,
            &mut dx,
            |x, dy| {
                if x > 0.0 && x < 6.0 { dy } else { 0.0 }
            },
        ),
        Activation::HardSigmoid => map2(&x, &dy, &mut dx, |x, dy| {
            if x > -3.0 && x < 3.0 {
                dy * (1.0 / 6.0)
            } else {
                0.0
            }
        }),
        Activation::HardSwish => map2(&x, &dy, &mut dx, |x, dy| {
            if x <= -3.0 {
                0.0
            } else if x < 3.0 {
                dy * (x * (1.0 / 3.0) + 0.5)
            } else {
                dy
            }
        }),
    }
    channels_last(dx, shape)
}

/// The maps of two tensors, one after the other along the channels.
///
/// # Panics
/// When batch, height or width differ.
pub(crate) fn concat(a: &FlexTensor, b: &FlexTensor) -> FlexTensor {
    let (a, b) = (readable(a), readable(b));
    let ([n, c_a, h, w], [n_b, c_b, h_b, w_b]) = (shape4(&a), shape4(&b));
    assert_eq!([n, h, w], [n_b, h_b, w_b], "maps to be joined");
    let width = c_a + c_b;
    let mut out = Buffer::new(n * h * w * width);
    copy_columns(&rows(&a), [c_a, 0], &mut out, [width, 0], c_a);
    copy_columns(&rows(&b), [c_b, 0], &mut out, [width, c_a], c_b);
    channels_last(out, [n, width, h, w])
}

/// Some channels of a map.
pub(crate) fn channels(x: &FlexTensor, range: std::ops::Range<usize>) -> FlexTensor {
    let x = readable(x);
    let [n, c, h, w] = shape4(&x);
    let width = range.len();
    let mut out = Buffer::new(n * h * w * width);
    copy_columns(&rows(&x), [c, range.start], &mut out, [width, 0], width);
    channels_last(out, [n, width, h, w])
}
