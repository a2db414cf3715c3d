//! Scalar twins of the convolution passes: the definition, summed in double precision.

use super::Geometry;
use crate::kernels::map::Map;

/// Calls `f(input index, weight index, output index)` for every product of the
/// convolution; inputs and outputs are channels-last.
fn for_each_product(
    geometry: &Geometry,
    shape: [usize; 4],
    mut f: impl FnMut(usize, usize, usize),
) {
    let [n, c, h, w] = shape;
    let [_, c_out, out_h, out_w] = geometry.output(shape);
    let [_, c_in, kh, kw] = geometry.weight;
    let per_group = c_out / geometry.groups;
    let [stride, pad, dilation] = [geometry.stride, geometry.padding, geometry.dilation];
    for image in 0..n {
        for (oy, ox) in (0..out_h).flat_map(|y| (0..out_w).map(move |x| (y, x))) {
            for (o, i) in (0..c_out).flat_map(|o| (0..c_in).map(move |i| (o, i))) {
                for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                    let y = oy * stride[0] + ky * dilation[0];
                    let x = ox * stride[1] + kx * dilation[1];
                    if y < pad[0] || x < pad[1] || y - pad[0] >= h || x - pad[1] >= w {
                        continue;
                    }
                    let channel = o / per_group * c_in + i;
                    let input = ((image * h + y - pad[0]) * w + x - pad[1]) * c + channel;
                    let weight = ((o * c_in + i) * kh + ky) * kw + kx;
                    let output = ((image * out_h + oy) * out_w + ox) * c_out + o;
                    f(input, weight, output);
                }
            }
        }
    }
}

fn dense(map: Map) -> Vec<f32> {
    let mut out = vec![0.0; map.shape().iter().product()];
    map.to_channels_last(&mut out);
    out
}

/// Twin of [`super::forward`].
pub(crate) fn forward(
    geometry: &Geometry,
    x: Map,
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f64> {
    let shape = geometry.output(x.shape());
    let mut out = vec![0.0f64; shape.iter().product()];
    if let Some(bias) = bias {
        for (i, value) in out.iter_mut().enumerate() {
            *value = f64::from(bias[i % shape[1]]);
        }
    }
    let input = dense(x);
    for_each_product(geometry, x.shape(), |i, w, o| {
        out[o] += f64::from(input[i]) * f64::from(weight[w]);
    });
    out
}

/// Twin of [`super::input_gradient`].
pub(crate) fn input_gradient(
    geometry: &Geometry,
    input: [usize; 4],
    dy: Map,
    weight: &[f32],
) -> Vec<f64> {
    let mut dx = vec![0.0f64; input.iter().product()];
    let dy = dense(dy);
    for_each_product(geometry, input, |i, w, o| {
        dx[i] += f64::from(dy[o]) * f64::from(weight[w]);
    });
    dx
}

/// Twin of [`super::weight_gradient`].
pub(crate) fn weight_gradient(geometry: &Geometry, x: Map, dy: Map) -> Vec<f64> {
    let mut dw = vec![0.0f64; geometry.weight.iter().product()];
    let (input, gradient) = (dense(x), dense(dy));
    for_each_product(geometry, x.shape(), |i, w, o| {
        dw[w] += f64::from(input[i]) * f64::from(gradient[o]);
    });
    dw
}
