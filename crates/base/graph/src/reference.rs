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
            ..
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
