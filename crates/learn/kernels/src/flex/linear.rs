//! The linear layer on tensors: a convolution of one tap whose positions are the rows.

use burn::backend::flex::FlexTensor;

use super::tensor::{dense, readable, values, vector};
use offramp_cpu::conv::{self, Geometry};
use offramp_cpu::map::Map;
use offramp_cpu::memory::Buffer;
use offramp_cpu::norm::column_sums;

fn shape2(tensor: &FlexTensor) -> [usize; 2] {
    std::array::from_fn(|axis| tensor.layout().shape()[axis])
}

fn geometry(weight: &FlexTensor) -> Geometry {
    let [outputs, inputs] = shape2(weight);
    Geometry {
        weight: [outputs, inputs, 1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    }
}

/// Row-major `[rows, columns]` as a map of one image, one row high.
fn map(values: &[f32], [rows, columns]: [usize; 2]) -> Map<'_> {
    Map::channels_last(values, [1, columns, 1, rows])
}

/// `x W^T + b`.
pub(crate) fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
) -> FlexTensor {
    let x = readable(x);
    let [rows, inputs] = shape2(&x);
    let outputs = shape2(weight)[0];
    let mut out = Buffer::new(rows * outputs);
    let bias = bias.map(values);
    let (x, weights) = (values(&x), values(weight));
    conv::forward(
        &geometry(weight),
        map(&x, [rows, inputs]),
        &weights,
        bias.as_deref(),
        &mut out,
    );
    dense(out, [rows, outputs])
}

/// `dy W`.
pub(crate) fn input_gradient(weight: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
    let [rows, outputs] = shape2(dy);
    let inputs = shape2(weight)[1];
    let mut dx = Buffer::new(rows * inputs);
    let (dy, weights) = (values(dy), values(weight));
    let shape = [1, inputs, 1, rows];
    let dy = map(&dy, [rows, outputs]);
    conv::input_gradient(&geometry(weight), shape, dy, &weights, false, &mut dx);
    dense(dx, [rows, inputs])
}

/// `dy^T x`.
pub(crate) fn weight_gradient(x: &FlexTensor, weight: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
    let [rows, outputs] = shape2(dy);
    let inputs = shape2(x)[1];
    let mut dw = Buffer::new(outputs * inputs);
    let (x, dy) = (values(x), values(dy));
    let (x, dy) = (map(&x, [rows, inputs]), map(&dy, [rows, outputs]));
    conv::weight_gradient(&geometry(weight), x, dy, &mut dw);
    dense(dw, [outputs, inputs])
}

/// The sum of the rows of `dy`.
pub(crate) fn bias_gradient(dy: &FlexTensor) -> FlexTensor {
    let sums = column_sums(&values(dy), shape2(dy)[1]);
    vector(sums.iter().map(|&s| s as f32).collect())
}
