//! Convolution with gradients.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, tensor::FloatTensor};

use super::pending::{add, output_gradient, plus, wanted};
use crate::Conv2dOptions;
use crate::flex::conv::{forward, input_gradient, weight_gradient};
use crate::flex::norm::channel_sums;
use crate::flex::tensor::shape4;

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

/// Inputs of the forward pass; either is kept only if the other's gradient is wanted.
#[derive(Clone, Debug)]
struct Saved {
    x: Option<FlexTensor>,
    weight: Option<FlexTensor>,
    shapes: [[usize; 4]; 2],
    options: Conv2dOptions,
}

fn backward<const N: usize>(ops: Ops<Saved, N>, grads: &mut Gradients) {
    let dy = output_gradient(&ops, grads);
    let saved = &ops.state;
    let [input, kernel] = saved.shapes;
    if N > 2 && wanted(&ops, N - 1) {
        add(&ops, N - 1, grads, |sum| plus(channel_sums(&dy), sum));
    }
    if let Some(x) = &saved.x {
        add(&ops, 1, grads, |sum| {
            plus(weight_gradient(x, kernel, &dy, saved.options), sum)
        });
    }
    if let Some(weight) = &saved.weight {
        add(&ops, 0, grads, |sum| {
            input_gradient(input, weight, &dy, saved.options, sum)
        });
    }
}

#[derive(Debug)]
struct Conv2d;

impl Backward<Flex, 2> for Conv2d {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        backward(ops, grads);
    }
}

#[derive(Debug)]
struct Conv2dWithBias;

impl Backward<Flex, 3> for Conv2dWithBias {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        backward(ops, grads);
    }
}

/// See [`crate::conv2d`].
pub(super) fn conv2d<C: CheckpointStrategy>(
    x: Float<C>,
    weight: Float<C>,
    bias: Option<Float<C>>,
    options: Conv2dOptions,
) -> Float<C> {
    let saved = Saved {
        x: weight.is_tracked().then(|| x.primitive().clone()),
        weight: x.is_tracked().then(|| weight.primitive().clone()),
        shapes: [shape4(x.primitive()), shape4(weight.primitive())],
        options,
    };
    let output =
        |bias: Option<&FlexTensor>| forward(x.primitive(), weight.primitive(), bias, options);
    match &bias {
        Some(bias) => {
            let nodes = [x.node(), weight.node(), bias.node()];
            let output = output(Some(bias.primitive()));
            match Conv2dWithBias
                .prepare::<C>(nodes)
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(prep) => prep.finish(saved, output),
                OpsKind::UnTracked(prep) => prep.finish(output),
            }
        }
        None => {
            let nodes = [x.node(), weight.node()];
            let output = output(None);
            match Conv2d.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(saved, output),
                OpsKind::UnTracked(prep) => prep.finish(output),
            }
        }
    }
}
