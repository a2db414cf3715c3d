//! The identity with a scaled gradient.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, tensor::FloatTensor};

use super::pending::{add, output_gradient};
use crate::flex::tensor::{add_rows, scale_rows};

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

#[derive(Debug)]
struct ScaleGradient;

impl Backward<Flex, 1> for ScaleGradient {
    type State = f64;

    fn backward(self, ops: Ops<f64, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = output_gradient(&ops, grads);
        let factor = ops.state as f32;
        add(&ops, 0, grads, |sum| add_rows(scale_rows(dy, factor), sum));
    }
}

/// See [`crate::scale_gradient`].
pub(super) fn scale_gradient<C: CheckpointStrategy>(x: Float<C>, factor: f64) -> Float<C> {
    let output = x.primitive().clone();
    match ScaleGradient
        .prepare::<C>([x.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(factor, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
