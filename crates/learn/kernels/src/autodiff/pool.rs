//! Pooling with gradients.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, tensor::FloatTensor};

use super::pending::{add, output_gradient};
use crate::flex::pool::{backward, forward};
use crate::flex::tensor::{add_rows, shape4};
use offramp_cpu::pool::{Pooling, Window};

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

#[derive(Clone, Debug)]
struct Saved {
    pooling: Pooling,
    window: Window,
    shape: [usize; 4],
    /// Input and output, for the place of the maximum.
    maps: Option<[FlexTensor; 2]>,
}

#[derive(Debug)]
struct Pool2d;

impl Backward<Flex, 1> for Pool2d {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = output_gradient(&ops, grads);
        let saved = &ops.state;
        add(&ops, 0, grads, |sum| {
            let maps = saved.maps.as_ref();
            add_rows(
                backward(saved.pooling, saved.window, saved.shape, maps, &dy),
                sum,
            )
        });
    }
}

/// See [`crate::avg_pool2d`] and [`crate::max_pool2d`].
pub(super) fn pool2d<C: CheckpointStrategy>(
    x: Float<C>,
    pooling: Pooling,
    window: Window,
) -> Float<C> {
    let output = forward(pooling, window, x.primitive());
    match Pool2d.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let saved = Saved {
                pooling,
                window,
                shape: shape4(x.primitive()),
                maps: (pooling == Pooling::Maximum)
                    .then(|| [x.primitive().clone(), output.clone()]),
            };
            prep.finish(saved, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
