//! The mean over replicas, whose gradient is the mean over replicas.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, ops::FloatTensorOps, tensor::FloatTensor};

use super::pending::{add, output_gradient};
use crate::Replica;
use crate::flex::tensor::replica_mean;

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

#[derive(Debug)]
struct Mean;

impl Backward<Flex, 1> for Mean {
    type State = Replica;

    fn backward(self, ops: Ops<Replica, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = replica_mean(&output_gradient(&ops, grads), &ops.state);
        add(&ops, 0, grads, |sum| match sum {
            Some(sum) => Flex::float_add(dy, sum),
            None => dy,
        });
    }
}

/// See [`crate::Replica::mean`].
pub(super) fn mean<C: CheckpointStrategy>(x: Float<C>, replica: Replica) -> Float<C> {
    let output = replica_mean(x.primitive(), &replica);
    match Mean.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(replica, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
