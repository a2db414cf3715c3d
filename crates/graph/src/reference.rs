//! A plain interpreter, for tests: one sample after the other, in `f64`, nothing clever.

use crate::{ConvGeometry, Graph, GraphError, Node, Op, WeightId, Window};

/// Computes a graph.
///
/// # Shapes
/// - `inputs`: one list of numbers an input of the graph, `[samples, ...]`, the last axis fastest
/// - output: one list an output of the graph, alike
///
/// # Errors
/// [`GraphError::Input`] when an input has too few or too many numbers, or is missing (0 numbers).
pub fn run(
    graph: &Graph,
    samples: usize,
    inputs: &[Vec<f32>],
) -> Result<Vec<Vec<f32>>, GraphError> {
    let sizes: Vec<usize> = (graph.inputs().iter())
        .map(|port| graph.shape(port.value).iter().product())
        .collect();
    for (i, (port, size)) in graph.inputs().iter().zip(&sizes).enumerate() {
        let found = inputs.get(i).map_or(0, Vec::len);
        if found != size * samples {
            return Err(GraphError::Input {
                input: port.name.clone(),
                expected: size * samples,
                found,
            });
        }
    }
    let mut outputs = vec![Vec::new(); graph.outputs().len()];
    for sample in 0..samples {
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); graph.num_values()];
        for ((port, size), input) in graph.inputs().iter().zip(&sizes).zip(inputs) {
            let numbers = &input[sample * size..][..*size];
            values[port.value.index()] = numbers.iter().map(|&x| f64::from(x)).collect();
        }
        for node in graph.nodes() {
            values[node.output.index()] = compute(graph, node, &values);
        }
        for (output, port) in outputs.iter_mut().zip(graph.outputs()) {
            output.extend(values[port.value.index()].iter().map(|&x| x as f32));
        }
    }
    Ok(outputs)
}

fn compute(graph: &Graph, node: &Node, values: &[Vec<f64>]) -> Vec<f64> {
    let input = |i: usize| values[node.inputs[i].index()].as_slice();
    let shape = |i: usize| graph.shape(node.inputs[i]);
    let weight = |id: &WeightId| -> Vec<f64> {
        graph
            .weight(*id)
            .data
            .iter()
            .map(|&x| f64::from(x))
            .collect()
    };
    let map = |function: &dyn Fn(f64) -> f64| input(0).iter().map(|&x| function(x)).collect();
    let hard_sigmoid = |x: f64| (x / 6.0 + 0.5).clamp(0.0, 1.0);
    match &node.op {
        Op::Conv {
            weight: id,
            bias,
            geometry,
        } => {
            let kernel = [0, 1, 2, 3].map(|axis| graph.weight(*id).shape[axis]);
            let (weights, bias) = (weight(id), bias.as_ref().map(weight));
            conv(input(0), sides(shape(0)), &weights, kernel, bias, geometry)
        }
        Op::Linear { weight: id, bias } => {
            let inputs = shape(0)[0].max(1);
            let rows = weight(id);
            let products = rows.chunks(inputs).map(|row| dot(row, input(0)));
            match bias {
                Some(bias) => products.zip(weight(bias)).map(|(y, b)| y + b).collect(),
                None => products.collect(),
            }
        }
        Op::BatchNorm {
            scale,
            shift,
            mean,
            variance,
            eps,
        } => {
            let [scale, shift, mean, variance] = [scale, shift, mean, variance].map(weight);
            let size: usize = shape(0)[1..].iter().product();
            let normalise = |(i, x): (usize, &f64)| {
                let c = i / size;
                scale[c] * (x - mean[c]) / (variance[c] + eps).sqrt() + shift[c]
            };
            input(0).iter().enumerate().map(normalise).collect()
        }
        Op::LayerNorm { scale, shift, eps } => {
            let x = input(0);
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let normal = x.iter().map(|x| (x - mean) / (variance + eps).sqrt());
            let scaled = normal.zip(weight(scale)).zip(weight(shift));
            scaled
                .map(|((x, scale), shift)| x * scale + shift)
                .collect()
        }
        Op::Relu => map(&|x| x.max(0.0)),
        Op::Clamp { low, high } => map(&|x| x.max((*low).into()).min((*high).into())),
        Op::Sigmoid => map(&|x| 1.0 / (1.0 + (-x).exp())),
        Op::HardSigmoid => map(&hard_sigmoid),
        Op::HardSwish => map(&|x| x * hard_sigmoid(x)),
        Op::Scale { factor } => map(&|x| x * f64::from(*factor)),
        Op::Add => input(0).iter().zip(input(1)).map(|(a, b)| a + b).collect(),
        Op::Mul => {
            let output = graph.shape(node.output);
            let at = |i: usize, place: &[usize]| input(i)[broadcast_offset(shape(i), place)];
            places(output)
                .map(|place| at(0, &place) * at(1, &place))
                .collect()
        }
        Op::MaxPool(window) => pool(input(0), sides(shape(0)), window, |values, _| {
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        Op::AvgPool(window) => pool(input(0), sides(shape(0)), window, |values, area| {
            values.iter().sum::<f64>() / area as f64
        }),
        Op::AdaptiveAvgPool { size } => adaptive(input(0), sides(shape(0)), *size),
        Op::GlobalAvgPool => {
            let [_, h, w] = sides(shape(0));
            let mean = |map: &[f64]| map.iter().sum::<f64>() / (h * w) as f64;
            input(0).chunks(h * w).map(mean).collect()
        }
        Op::Concat => (0..node.inputs.len())
            .flat_map(|i| input(i).to_vec())
            .collect(),
        Op::Slice {
            axis, start, step, ..
        } => {
            let source = |mut place: Vec<usize>| {
                place[*axis] = start + place[*axis] * step;
                input(0)[offset(shape(0), &place)]
            };
            places(graph.shape(node.output)).map(source).collect()
        }
        Op::PadChannels { before, after } => {
            let [_, h, w] = sides(shape(0));
            let zeros = |channels: &usize| vec![0.0; channels * h * w];
            [zeros(before), input(0).to_vec(), zeros(after)].concat()
        }
        Op::Shuffle { groups } => {
            let [c, h, w] = sides(shape(0));
            let channels: Vec<&[f64]> = input(0).chunks(h * w).collect();
            let source = |out: usize| (out % groups) * (c / groups) + out / groups;
            (0..c)
                .flat_map(|out| channels[source(out)].to_vec())
                .collect()
        }
        Op::Reshape { .. } => input(0).to_vec(),
    }
}

fn sides(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[1], shape[2]]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// All places of a shape, the last axis fastest.
fn places(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..shape.iter().product()).map(|mut index| {
        let mut place = vec![0; shape.len()];
        for (axis, size) in shape.iter().enumerate().rev() {
            place[axis] = index % size;
            index /= size;
        }
        place
    })
}

fn offset(shape: &[usize], place: &[usize]) -> usize {
    shape
        .iter()
        .zip(place)
        .fold(0, |sum, (size, at)| sum * size + at)
}

/// The offset where axes of size 1 are repeated.
fn broadcast_offset(shape: &[usize], place: &[usize]) -> usize {
    let wrapped: Vec<usize> = shape
        .iter()
        .zip(place)
        .map(|(size, at)| at % size)
        .collect();
    offset(shape, &wrapped)
}

/// Where a tap of a window reads for output `out`, if inside.
fn tap(out: usize, stride: usize, tap: usize, padding: usize, side: usize) -> Option<usize> {
    (out * stride + tap)
        .checked_sub(padding)
        .filter(|at| *at < side)
}

fn conv(
    x: &[f64],
    [_, h, w]: [usize; 3],
    weights: &[f64],
    [c_out, c_group, k_h, k_w]: [usize; 4],
    bias: Option<Vec<f64>>,
    geometry: &ConvGeometry,
) -> Vec<f64> {
    let side = |axis: usize, side: usize, kernel: usize| {
        let reach = geometry.dilation[axis] * (kernel - 1) + 1;
        (side + 2 * geometry.padding[axis] - reach) / geometry.stride[axis] + 1
    };
    let [h_out, w_out] = [side(0, h, k_h), side(1, w, k_w)];
    let mut y = vec![0.0; c_out * h_out * w_out];
    for (c, map) in y.chunks_mut(h_out * w_out).enumerate() {
        if let Some(bias) = &bias {
            map.fill(bias[c]);
        }
        let first = c / (c_out / geometry.groups) * c_group;
        for (i, weight) in weights[c * c_group * k_h * k_w..][..c_group * k_h * k_w]
            .iter()
            .enumerate()
        {
            let (channel, ky, kx) = (first + i / (k_h * k_w), i / k_w % k_h, i % k_w);
            for (oy, row) in map.chunks_mut(w_out).enumerate() {
                let [stride, padding] = [geometry.stride[0], geometry.padding[0]];
                let Some(iy) = tap(oy, stride, ky * geometry.dilation[0], padding, h) else {
                    continue;
                };
                let source = &x[(channel * h + iy) * w..][..w];
                add_row(row, source, *weight, kx * geometry.dilation[1], geometry);
            }
        }
    }
    y
}

/// `row[o] += weight * source[o * stride + shift - padding]` where that lies inside.
fn add_row(row: &mut [f64], source: &[f64], weight: f64, shift: usize, geometry: &ConvGeometry) {
    let [stride, padding] = [geometry.stride[1], geometry.padding[1]];
    // The first output whose tap is not left of the map.
    let first = padding.saturating_sub(shift).div_ceil(stride);
    let start = first * stride + shift - padding;
    let inside = source
        .get(start..)
        .unwrap_or_default()
        .iter()
        .step_by(stride);
    for (y, x) in row.iter_mut().skip(first).zip(inside) {
        *y += weight * x;
    }
}

/// Each window's values, those outside left out, and its area through `function`.
fn pool(
    x: &[f64],
    [c, h, w]: [usize; 3],
    window: &Window,
    function: impl Fn(&[f64], usize) -> f64,
) -> Vec<f64> {
    let side = |axis: usize, side: usize| {
        (side + 2 * window.padding[axis] - window.kernel[axis]) / window.stride[axis] + 1
    };
    let at = |axis: usize, out: usize, side: usize| {
        (0..window.kernel[axis])
            .filter_map(move |t| tap(out, window.stride[axis], t, window.padding[axis], side))
    };
    let area = window.kernel.iter().product();
    let mut y = Vec::new();
    for place in places(&[c, side(0, h), side(1, w)]) {
        let values: Vec<f64> = at(0, place[1], h)
            .flat_map(|iy| at(1, place[2], w).map(move |ix| (iy, ix)))
            .map(|(iy, ix)| x[offset(&[c, h, w], &[place[0], iy, ix])])
            .collect();
        y.push(function(&values, area));
    }
    y
}

fn adaptive(x: &[f64], [c, h, w]: [usize; 3], [height, width]: [usize; 2]) -> Vec<f64> {
    let range = |i: usize, out: usize, side: usize| i * side / out..((i + 1) * side).div_ceil(out);
    let mean = |place: Vec<usize>| {
        let (rows, columns) = (range(place[1], height, h), range(place[2], width, w));
        let count = rows.len() * columns.len();
        let values = rows.flat_map(|iy| columns.clone().map(move |ix| (iy, ix)));
        let sum: f64 = values
            .map(|(iy, ix)| x[offset(&[c, h, w], &[place[0], iy, ix])])
            .sum();
        sum / count as f64
    };
    places(&[c, height, width]).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Value, WeightNames};

    /// Runs what `write` makes of an input of the given shape that holds 1, 2, 3, ...
    fn numbers(
        shape: &[usize],
        write: impl FnOnce(&mut Builder, Value) -> Result<Value, GraphError>,
    ) -> Vec<f32> {
        let mut b = Builder::new(WeightNames::default());
        let x = b.input("x", shape);
        let y = write(&mut b, x).unwrap();
        let count: usize = shape.iter().product();
        let input = (1..=count).map(|i| i as f32).collect();
        run(&b.finish([("y", y)]), 1, &[input]).unwrap().remove(0)
    }

    /// ```python
    /// x = torch.arange(1., 10.).reshape(1, 1, 3, 3); w = torch.arange(1., 5.).reshape(1, 1, 2, 2)
    /// F.conv2d(x, w, torch.tensor([10.]), padding=1, stride=2); F.conv2d(x, w, dilation=2)
    /// ```
    #[test]
    fn convolutions_of_pytorch() {
        let conv = |geometry: ConvGeometry, bias: bool| {
            numbers(&[1, 3, 3], |b, x| {
                let weight = b.weight(0, &[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]);
                let bias = bias.then(|| b.weight(1, &[1], vec![10.0]));
                b.conv(x, weight, bias, geometry)
            })
        };
        let padded = ConvGeometry {
            padding: [1, 1],
            stride: [2, 2],
            ..ConvGeometry::default()
        };
        assert_eq!(conv(padded, true), [14.0, 28.0, 46.0, 87.0]);
        let dilated = ConvGeometry {
            dilation: [2, 2],
            ..ConvGeometry::default()
        };
        assert_eq!(conv(dilated, false), [1.0 + 6.0 + 21.0 + 36.0]);
    }

    /// A depthwise kernel, and two groups of two channels.
    #[test]
    fn groups_see_their_own_channels() {
        let conv = |weight: Vec<f32>, shape: [usize; 4], groups: usize| {
            numbers(&[4, 1, 1], |b, x| {
                let weight = b.weight(0, &shape, weight);
                let geometry = ConvGeometry {
                    groups,
                    ..ConvGeometry::default()
                };
                b.conv(x, weight, None, geometry)
            })
        };
        let depthwise = conv(vec![1.0, 10.0, 100.0, 1000.0], [4, 1, 1, 1], 4);
        assert_eq!(depthwise, [1.0, 20.0, 300.0, 4000.0]);
        assert_eq!(conv(vec![1.0; 4], [2, 2, 1, 1], 2), [3.0, 7.0]);
    }

    /// `F.max_pool2d(x, 2, 2, 1)` and `F.avg_pool2d(x, 2, 2, 1)` of 1 to 9, and
    /// `F.adaptive_avg_pool2d(x, 2)`.
    #[test]
    fn pooling_of_pytorch() {
        let window = Window::square(2, 2, 1);
        let max = numbers(&[1, 3, 3], |b, x| b.max_pool(x, window));
        assert_eq!(max, [1.0, 3.0, 7.0, 9.0]);
        let mean = numbers(&[1, 3, 3], |b, x| b.avg_pool(x, window));
        assert_eq!(mean, [0.25, 1.25, 2.75, 7.0]);
        let adaptive = numbers(&[1, 3, 3], |b, x| b.shrink(x, [2, 2]));
        assert_eq!(adaptive, [3.0, 4.0, 6.0, 7.0]);
        let global = numbers(&[2, 1, 2], |b, x| b.global_avg_pool(x));
        assert_eq!(global, [1.5, 3.5]);
    }

    #[test]
    fn moving_numbers() {
        // torchvision's channel_shuffle of 6 channels in 2 groups.
        let shuffled = numbers(&[6, 1, 1], |b, x| b.shuffle(x, 2));
        assert_eq!(shuffled, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let padded = numbers(&[1, 1, 2], |b, x| b.pad_channels(x, 1, 2));
        assert_eq!(padded, [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
        let sliced = numbers(&[1, 2, 3], |b, x| b.slice(x, 2, 0..3, 2));
        assert_eq!(sliced, [1.0, 3.0, 4.0, 6.0]);
        let joined = numbers(&[2, 1, 1], |b, x| {
            let last = b.slice(x, 0, 1..2, 1)?;
            b.concat(&[last, x])
        });
        assert_eq!(joined, [2.0, 1.0, 2.0]);
        let excited = numbers(&[2, 1, 2], |b, x| {
            let means = b.global_avg_pool(x)?;
            let means = b.reshape(means, &[2, 1, 1])?;
            b.mul(means, x)
        });
        assert_eq!(excited, [1.5, 3.0, 10.5, 14.0]);
    }

    /// `F.hardsigmoid`, `F.hardswish`, `torch.sigmoid` of 1 to 4 minus 2.5 times 2.
    #[test]
    fn activations_of_pytorch() {
        let activated = |write: fn(&mut Builder, Value) -> Result<Value, GraphError>| {
            numbers(&[4], |b, x| {
                let weights = [[2.0; 4], [0.0; 4], [2.5; 4], [1.0; 4]];
                let mut key = 0;
                let weights = weights.map(|data| {
                    key += 1;
                    b.weight(key, &[4], data.to_vec())
                });
                let x = b.batch_norm(x, weights, 0.0)?;
                write(b, x)
            })
        };
        let near = |found: Vec<f32>, expected: [f32; 4]| {
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-6, "{found:?}");
            }
        };
        near(activated(|b, x| b.relu(x)), [0.0, 0.0, 1.0, 3.0]);
        near(
            activated(|b, x| b.clamp(x, -2.0, 2.0)),
            [-2.0, -1.0, 1.0, 2.0],
        );
        near(activated(|b, x| b.scale(x, -0.5)), [1.5, 0.5, -0.5, -1.5]);
        near(
            activated(|b, x| b.hard_sigmoid(x)),
            [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0],
        );
        near(
            activated(|b, x| b.hard_swish(x)),
            [0.0, -1.0 / 3.0, 2.0 / 3.0, 3.0],
        );
        near(
            activated(|b, x| b.sigmoid(x)),
            [0.047_425_874, 0.268_941_42, 0.731_058_6, 0.952_574_13],
        );
    }

    /// `F.layer_norm(torch.tensor([1., 2., 3.]), (3,), torch.tensor([1., 2., 1.]),
    /// torch.tensor([0., 1., 0.]), eps=1/3)`: mean 2, variance 2/3.
    #[test]
    fn layer_norm_of_pytorch() {
        let normal = numbers(&[3], |b, x| {
            let scale = b.weight(0, &[3], vec![1.0, 2.0, 1.0]);
            let shift = b.weight(1, &[3], vec![0.0, 1.0, 0.0]);
            b.layer_norm(x, [scale, shift], 1.0 / 3.0)
        });
        assert_eq!(normal, [-1.0, 1.0, 1.0]);
    }

    #[test]
    fn inputs_of_another_size_are_refused() {
        let mut b = Builder::new(WeightNames::default());
        let x = b.input("x", &[3]);
        let graph = b.finish([("x", x)]);
        let error = run(&graph, 2, &[vec![0.0; 5]]).unwrap_err().to_string();
        assert_eq!(error, "input \"x\" got 5 numbers, 6 are needed");
        assert!(run(&graph, 2, &[]).is_err());
    }
}
