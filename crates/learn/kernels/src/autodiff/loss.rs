//! Softmax cross-entropy with gradients.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::{
    Autodiff,
    tensor::{FloatTensor, IntTensor},
};

use crate::flex::loss::{backward, forward};

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

#[derive(Clone, Debug)]
struct Saved {
    softmax: FlexTensor,
    targets: Vec<i64>,
}

#[derive(Debug)]
struct SoftmaxCrossEntropy;

impl Backward<Flex, 1> for SoftmaxCrossEntropy {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dloss = grads.consume::<Flex>(&ops.node);
        if let [Some(node)] = &ops.parents {
            let gradient = backward(&ops.state.softmax, &ops.state.targets, &dloss);
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

/// See [`crate::softmax_cross_entropy`].
pub(super) fn softmax_cross_entropy<C: CheckpointStrategy>(
    logits: Float<C>,
    targets: IntTensor<Autodiff<Flex, C>>,
) -> Float<C> {
    let result = forward(logits.primitive(), targets);
    let nodes = [logits.node()];
    match SoftmaxCrossEntropy
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => {
            let saved = Saved {
                softmax: result.softmax,
                targets: result.targets,
            };
            prep.finish(saved, result.loss)
        }
        OpsKind::UnTracked(prep) => prep.finish(result.loss),
    }
}
