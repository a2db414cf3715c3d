//! Convolution on tensors.

use burn::backend::flex::FlexTensor;

use super::tensor::{channels_last, dense, map, readable, rows_mut, shape4, values};
use crate::Conv2dOptions;
use offramp_cpu::conv::{self, Geometry};
use offramp_cpu::memory::Buffer;

fn geometry(weight: &FlexTensor, options: Conv2dOptions) -> Geometry {
    Geometry {
        weight: shape4(weight),
        stride: options.stride,
        padding: options.padding,
        dilation: options.dilation,
        groups: options.groups,
    }
}

/// The output of a convolution, channels-last.
pub(crate) fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    options: Conv2dOptions,
) -> FlexTensor {
    let geometry = geometry(weight, options);
    let x = readable(x);
    let shape = geometry.output(shape4(&x));
    let mut out = Buffer::new(shape.iter().product());
    let bias = bias.map(values);
    conv::forward(
        &geometry,
        map(&x),
        &values(weight),
        bias.as_deref(),
        &mut out,
    );
    channels_last(out, shape)
}

/// The input gradient; added to `sum` if one is given.
pub(crate) fn input_gradient(
    input: [usize; 4],
    weight: &FlexTensor,
    dy: &FlexTensor,
    options: Conv2dOptions,
    sum: Option<FlexTensor>,
) -> FlexTensor {
    let geometry = geometry(weight, options);
    let dy = readable(dy);
    let weight = values(weight);
    let mut rest = sum;
    if let Some(sum) = &mut rest
        && let Some(rows) = rows_mut(sum)
    {
        conv::input_gradient(&geometry, input, map(&dy), &weight, true, rows);
        return rest.unwrap_or_else(|| unreachable!());
    }
    let mut dx = Buffer::new(input.iter().product());
    if let Some(sum) = rest {
        map(&readable(&sum)).to_channels_last(&mut dx);
        conv::input_gradient(&geometry, input, map(&dy), &weight, true, &mut dx);
    } else {
        conv::input_gradient(&geometry, input, map(&dy), &weight, false, &mut dx);
    }
    channels_last(dx, input)
}

/// The weight gradient.
pub(crate) fn weight_gradient(
    x: &FlexTensor,
    weight: [usize; 4],
    dy: &FlexTensor,
    options: Conv2dOptions,
) -> FlexTensor {
    let geometry = Geometry {
        weight,
        stride: options.stride,
        padding: options.padding,
        dilation: options.dilation,
        groups: options.groups,
    };
    let mut dw = Buffer::new(weight.iter().product());
    conv::weight_gradient(&geometry, map(&readable(x)), map(&readable(dy)), &mut dw);
    dense(dw, weight)
}
