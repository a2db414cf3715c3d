//! The linear layer with gradients.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, tensor::FloatTensor};

use crate::flex::linear::{bias_gradient, forward, input_gradient, weight_gradient};

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

/// Input and weight.
type Saved = [FlexTensor; 2];

fn backward<const N: usize>(ops: Ops<Saved, N>, grads: &mut Gradients) {
    let dy = grads.consume::<Flex>(&ops.node);
    let [x, weight] = &ops.state;
    if let Some(node) = &ops.parents[0] {
        grads.register::<Flex>(node.id, input_gradient(weight, &dy));
    }
    if let Some(node) = &ops.parents[1] {
        grads.register::<Flex>(node.id, weight_gradient(x, weight, &dy));
    }
    if let Some(Some(node)) = ops.parents.get(2) {
        grads.register::<Flex>(node.id, bias_gradient(&dy));
    }
}

#[derive(Debug)]
struct Linear;

impl Backward<Flex, 2> for Linear {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        backward(ops, grads);
    }
}

#[derive(Debug)]
struct LinearWithBias;

impl Backward<Flex, 3> for LinearWithBias {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        backward(ops, grads);
    }
}

/// See [`crate::linear`].
pub(super) fn linear<C: CheckpointStrategy>(
    x: Float<C>,
    weight: Float<C>,
    bias: Option<Float<C>>,
) -> Float<C> {
    let saved = [x.primitive().clone(), weight.primitive().clone()];
    let output = forward(&saved[0], &saved[1], bias.as_ref().map(|b| b.primitive()));
    match bias {
        Some(bias) => {
            let nodes = [x.node(), weight.node(), bias.node()];
            match LinearWithBias
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
            match Linear.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(saved, output),
                OpsKind::UnTracked(prep) => prep.finish(output),
            }
        }
    }
}
