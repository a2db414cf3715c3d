//! What every operation is in burn.

use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Tensor, activation, module, s};
use offramp_graph::{ConvGeometry, Graph, Op, WeightId, Window};
use offramp_kernels::{
    Activation, Conv2dOptions, add, avg_pool2d, concat, conv2d, global_avg_pool, linear, max_pool2d,
};

use super::TensorValue;
use super::program::Step;
use super::weight::Tensors;
use crate::batch_norm::Norm;
use crate::layer_norm::layer_norm;
use crate::{narrow, shrink};

/// Computes a step from its operands.
pub(super) fn compute(
    graph: &Graph,
    weights: &[Tensors],
    training: bool,
    step: &Step,
    operands: Vec<TensorValue>,
) -> TensorValue {
    let node = &graph.nodes()[step.node];
    let weight = |id: &WeightId| &weights[id.index()];
    let mut operands = operands.into_iter();
    let mut next = || operands.next().expect("the graph has checked the operands");
    match &node.op {
        Op::Conv {
            weight: kernel,
            bias,
            geometry,
        } => {
            let x = next().into_map();
            let kernel = narrow::like(weight(kernel).kernel(), &x);
            let bias = bias
                .as_ref()
                .map(|id| narrow::like(weight(id).vector(), &x));
            conv2d(x, kernel, bias, options(geometry)).into()
        }
        Op::Linear {
            weight: matrix,
            bias,
        } => {
            let x = next().into_vector();
            let matrix = narrow::like(weight(matrix).matrix().val(), &x);
            let bias = bias
                .as_ref()
                .map(|id| narrow::like(weight(id).vector(), &x));
            linear(x, matrix, bias).into()
        }
        Op::BatchNorm {
            scale,
            shift,
            mean,
            variance,
            eps,
            momentum,
        } => {
            let norm = Norm {
                weight: weight(scale).vector(),
                bias: weight(shift).vector(),
                running_mean: weight(mean).statistic(),
                running_var: weight(variance).statistic(),
                momentum: *momentum,
                eps: *eps,
                training,
            };
            let x = next();
            let residual = operands.next().map(TensorValue::into_map);
            x.map(|x| norm.forward(x, residual, step.relu))
        }
        Op::LayerNorm { scale, shift, eps } => {
            let (scale, shift) = (weight(scale).vector(), weight(shift).vector());
            layer_norm(next().into_vector(), scale, shift, *eps).into()
        }
        Op::Relu => function(next(), Activation::Relu),
        Op::Clamp { low, high } => match [*low, *high] {
            [0.0, 6.0] => function(next(), Activation::Relu6),
            [low, high] => next().map(|x| x.clamp(low, high)),
        },
        Op::Sigmoid => next().map(activation::sigmoid),
        Op::HardSigmoid => function(next(), Activation::HardSigmoid),
        Op::HardSwish => function(next(), Activation::HardSwish),
        Op::Scale { factor } => next().map(|x| x * f64::from(*factor)),
        Op::Add => match (next(), next()) {
            (TensorValue::Vector(a), TensorValue::Vector(b)) => (a + b).into(),
            (a, b) => add(a.into_map(), b.into_map()).into(),
        },
        Op::Mul => match (next(), next()) {
            (TensorValue::Vector(a), TensorValue::Vector(b)) => (a * b).into(),
            (a, b) => (a.into_map() * b.into_map()).into(),
        },
        Op::MaxPool(Window {
            kernel,
            stride,
            padding,
        }) => max_pool2d(next().into_map(), *kernel, *stride, *padding).into(),
        Op::AvgPool(window) => mean_pool(next().into_map(), window).into(),
        Op::AdaptiveAvgPool { size } => shrink(next().into_map(), *size).into(),
        Op::GlobalAvgPool => global_avg_pool(next().into_map()).into(),
        Op::Concat => {
            let parts: Vec<TensorValue> = std::iter::once(next()).chain(operands).collect();
            join(parts)
        }
        Op::Slice {
            axis,
            start,
            end,
            step,
        } => {
            let range = |size: usize| s![*start..size.min(*end);*step as isize];
            match next() {
                TensorValue::Map(x) => {
                    let size = x.dims()[axis + 1];
                    x.slice_dim(axis + 1, range(size)).into()
                }
                TensorValue::Vector(x) => {
                    let size = x.dims()[axis + 1];
                    x.slice_dim(axis + 1, range(size)).into()
                }
            }
        }
        Op::PadChannels { before, after } => {
            let x = next().into_map();
            let [n, _, h, w] = x.dims();
            let zeros = |count| Tensor::zeros([n, count, h, w], (&x.device(), x.dtype()));
            let (before, after) = (zeros(*before), zeros(*after));
            Tensor::cat(vec![before, x, after], 1).into()
        }
        Op::Shuffle { groups } => shuffle(next().into_map(), *groups).into(),
        Op::Reshape { shape } => reshape(next(), shape),
    }
}

fn options(geometry: &ConvGeometry) -> Conv2dOptions {
    Conv2dOptions {
        stride: geometry.stride,
        padding: geometry.padding,
        dilation: geometry.dilation,
        groups: geometry.groups,
    }
}

fn function(x: TensorValue, function: Activation) -> TensorValue {
    x.map(|x| offramp_kernels::activation(x, function))
}

fn mean_pool(x: Tensor<4>, window: &Window) -> Tensor<4> {
    let (kernel, stride) = (window.kernel, window.stride);
    match window.padding {
        [0, 0] => avg_pool2d(x, kernel, stride),
        padding => {
            let options = AvgPoolOptions::new(kernel).with_stride(stride);
            module::avg_pool2d(x, options.with_padding(padding))
        }
    }
}

fn join(mut parts: Vec<TensorValue>) -> TensorValue {
    if let Some(TensorValue::Vector(_)) = parts.first() {
        let vectors = parts.into_iter().map(TensorValue::into_vector);
        return Tensor::cat(vectors.collect(), 1).into();
    }
    // The kernel joins two maps.
    let last = parts.pop().expect("the graph has checked the operands");
    let joined = parts
        .into_iter()
        .rev()
        .fold(last.into_map(), |joined, part| {
            concat(part.into_map(), joined)
        });
    joined.into()
}

/// Channel `i * C / groups + j` goes to `j * groups + i` (Zhang et al., *ShuffleNet*, CVPR 2018).
fn shuffle(x: Tensor<4>, groups: usize) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let x: Tensor<5> = x.reshape([n, groups, c / groups, h, w]);
    x.swap_dims(1, 2).reshape([n, c, h, w])
}

fn reshape(x: TensorValue, shape: &[usize]) -> TensorValue {
    let x = x.into_map();
    let [n, ..] = x.dims();
    match *shape {
        [c, h, w] => x.reshape([n, c, h, w]).into(),
        [d] => x.reshape([n, d]).into(),
        _ => unreachable!("the graph has maps and vectors, not {shape:?}"),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use offramp_core::default_device;
    use offramp_graph::{Builder, Conv, GraphError};

    use crate::{GraphModule, Init};

    #[test]
    fn the_graphs_shapes_are_the_computed_ones() -> Result<(), GraphError> {
        let device = default_device().unwrap();
        let mut init = Init::new(0, &device);
        for (kernel, stride, side) in [(3, 1, 7), (3, 2, 8), (3, 2, 7), (1, 2, 9), (7, 2, 32)] {
            let mut b = Builder::new();
            let x = b.input("x", &[3, side, side]);
            let y = b.conv2d("conv", x, Conv::new(4, kernel).stride(stride))?;
            let shape = b.shape(y).to_vec();
            let module = GraphModule::whole(b.finish_whole([("y", y)]), (), &mut init);
            let x = Tensor::<4>::zeros([2, 3, side, side], &device);
            let y = module.run(0, vec![x.into()]).remove(0).into_map();
            assert_eq!(y.dims()[1..], shape);
        }
        Ok(())
    }

    /// Shortcuts without parameters: every second pixel, zeros on both sides of the channels. The
    /// graph was written for images of another size.
    #[test]
    fn option_a_subsamples_and_pads_on_both_sides() -> Result<(), GraphError> {
        let device = default_device().unwrap();
        let mut b = Builder::new();
        let x = b.input("x", &[1, 8, 8]);
        let rows = b.slice(x, 1, .., 2)?;
        let pixels = b.slice(rows, 2, .., 2)?;
        let y = b.pad_channels(pixels, 1, 1)?;
        let graph = b.finish_whole([("y", y)]);
        let module = GraphModule::whole(graph, (), &mut Init::new(0, &device));
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &device).reshape([1, 1, 2, 2]);
        let x: Tensor<4> = x;
        let y = module.run(0, vec![x.into()]).remove(0).into_map();
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [0.0, 1.0, 0.0]);
        Ok(())
    }
}
