//! 2-D convolution and its gradients.

mod correlate;
mod depthwise;
mod geometry;
mod panel;
#[cfg(test)]
pub(crate) mod reference;
mod source;
#[cfg(test)]
mod tests;
mod tile;
mod weight_gradient;
pub(crate) mod winograd;

use crate::kernels::map::{Map, channels_last_strides};
use crate::parallel::Shared;
use crate::simd::dispatch;
use correlate::{Correlate, Destination};
pub use geometry::Geometry;
use panel::WeightStrides;

/// `out = x * weight + bias`, dense channels-last, for a dense `[C_out, C_in / groups, K_h, K_w]` weight.
pub fn forward(geometry: &Geometry, x: Map, weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let shape = geometry.output(x.shape());
    assert_eq!(out.len(), shape.iter().product::<usize>(), "output length");
    let correlation = geometry.forward(x.shape());
    let [c_out, c_in, kh, kw] = geometry.weight;
    let [per_group, image, row] = [
        c_out / geometry.groups,
        shape[2] * shape[3] * c_out,
        shape[3] * c_out,
    ];
    let out = Shared::new(out);
    if geometry.is_depthwise() {
        depthwise::correlate(&correlation, x, weight, kw, bias, false, (out, shape));
        return;
    }
    for g in 0..geometry.groups {
        dispatch(Correlate {
            correlation: &correlation,
            input: x.channels(g * c_in, c_in),
            weight: &weight[g * per_group * c_in * kh * kw..],
            strides: WeightStrides {
                output: c_in * kh * kw,
                input: kh * kw,
                row: kw,
                positions: kh * kw,
            },
            accumulate: false,
            bias: bias.map(|b| &b[g * per_group..(g + 1) * per_group]),
            destination: Destination {
                out,
                first: g * per_group,
                strides: [image, row, c_out],
                channels: per_group,
            },
        });
    }
}

/// Gradient of the loss in the input, dense channels-last, from the gradient `dy` in the
/// output; added to what `dx` holds if `accumulate`, else written over it.
pub fn input_gradient(
    geometry: &Geometry,
    input: [usize; 4],
    dy: Map,
    weight: &[f32],
    accumulate: bool,
    dx: &mut [f32],
) {
    assert_eq!(geometry.output(input), dy.shape(), "gradient shape");
    assert_eq!(dx.len(), input.iter().product::<usize>(), "gradient length");
    let [c_out, c_in, kh, kw] = geometry.weight;
    let per_group = c_out / geometry.groups;
    let [image, _, row, column] = channels_last_strides(input);
    let dx = Shared::new(dx);
    for correlation in &geometry.input_gradient(input) {
        if accumulate && correlation.taps.is_empty() {
            continue;
        }
        if geometry.is_depthwise() {
            depthwise::correlate(correlation, dy, weight, kw, None, accumulate, (dx, input));
            continue;
        }
        for g in 0..geometry.groups {
            dispatch(Correlate {
                correlation,
                input: dy.channels(g * per_group, per_group),
                weight: &weight[g * per_group * c_in * kh * kw..],
                strides: WeightStrides {
                    output: kh * kw,
                    input: c_in * kh * kw,
                    row: kw,
                    positions: kh * kw,
                },
                accumulate,
                bias: None,
                destination: Destination {
                    out: dx,
                    first: g * c_in,
                    strides: [image, row, column],
                    channels: c_in,
                },
            });
        }
    }
}

pub use weight_gradient::weight_gradient;
