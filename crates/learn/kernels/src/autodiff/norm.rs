//! Batch normalisation with gradients.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, tensor::FloatTensor};

use super::pending::{add, output_gradient, plus, wanted};
use crate::flex::norm::{self, Saved};
use crate::flex::tensor::{add_rows, vector};

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

fn backward<const N: usize>(ops: Ops<Saved, N>, grads: &mut Gradients) {
    let dy = output_gradient(&ops, grads);
    let want_residual = N > 3 && wanted(&ops, N - 1);
    let result = norm::backward(&ops.state, dy, want_residual);
    let norm::Gradients {
        x,
        gamma,
        beta,
        residual,
    } = result;
    add(&ops, 0, grads, |sum| add_rows(x, sum));
    add(&ops, 1, grads, |sum| plus(gamma, sum));
    add(&ops, 2, grads, |sum| plus(beta, sum));
    if let Some(residual) = residual {
        add(&ops, N - 1, grads, |sum| add_rows(residual, sum));
    }
}

#[derive(Debug)]
struct BatchNorm;

impl Backward<Flex, 3> for BatchNorm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        backward(ops, grads);
    }
}

#[derive(Debug)]
struct BatchNormResidual;

impl Backward<Flex, 4> for BatchNormResidual {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        backward(ops, grads);
    }
}

/// See [`crate::batch_norm_train`]; output, mean and variance, the latter two without gradients.
pub(super) fn batch_norm_train<C: CheckpointStrategy>(
    x: Float<C>,
    gamma: Float<C>,
    beta: Float<C>,
    residual: Option<Float<C>>,
    eps: f64,
    relu: bool,
) -> (Float<C>, Float<C>, Float<C>) {
    let result = norm::train(
        x.primitive(),
        gamma.primitive(),
        beta.primitive(),
        residual.as_ref().map(|r| r.primitive()),
        eps,
        relu,
    );
    let saved = || Saved {
        x: x.primitive().clone(),
        gamma: gamma.primitive().clone(),
        gate: relu.then(|| result.output.clone()),
        statistics: result.statistics.clone(),
        eps,
    };
    let output = match &residual {
        Some(residual) => {
            let nodes = [x.node(), gamma.node(), beta.node(), residual.node()];
            match BatchNormResidual
                .prepare::<C>(nodes)
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(prep) => prep.finish(saved(), result.output.clone()),
                OpsKind::UnTracked(prep) => prep.finish(result.output.clone()),
            }
        }
        None => {
            let nodes = [x.node(), gamma.node(), beta.node()];
            match BatchNorm.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(saved(), result.output.clone()),
                OpsKind::UnTracked(prep) => prep.finish(result.output.clone()),
            }
        }
    };
    (
        output,
        <Float<C>>::new(vector(result.statistics.mean)),
        <Float<C>>::new(vector(result.statistics.variance)),
    )
}
