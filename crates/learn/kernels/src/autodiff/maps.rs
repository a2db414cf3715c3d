//! Element passes over maps, and maps side by side, with gradients.

use burn::backend::Flex;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, tensor::FloatTensor};

use super::pending::{add, output_gradient};
use crate::Activation;
use crate::flex::maps;
use crate::flex::tensor::{add_rows, shape4};

type Float<C> = FloatTensor<Autodiff<Flex, C>>;

#[derive(Debug)]
struct Activate;

impl Backward<Flex, 1> for Activate {
    type State = (FlexTensor, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = output_gradient(&ops, grads);
        let (x, activation) = &ops.state;
        add(&ops, 0, grads, |sum| {
            add_rows(maps::activate_backward(x, &dy, *activation), sum)
        });
    }
}

/// See [`crate::activation`].
pub(super) fn activation<C: CheckpointStrategy>(x: Float<C>, activation: Activation) -> Float<C> {
    let output = maps::activate(x.primitive(), activation);
    match Activate.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((x.primitive().clone(), activation), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct Add;

impl Backward<Flex, 2> for Add {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = output_gradient(&ops, grads);
        add(&ops, 0, grads, |sum| add_rows(dy.clone(), sum));
        add(&ops, 1, grads, |sum| add_rows(dy, sum));
    }
}

/// See [`crate::add`].
pub(super) fn add_maps<C: CheckpointStrategy>(a: Float<C>, b: Float<C>) -> Float<C> {
    let output = add_rows(a.primitive().clone(), Some(b.primitive().clone()));
    match Add
        .prepare::<C>([a.node(), b.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish((), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct Concat;

impl Backward<Flex, 2> for Concat {
    /// Channels of the first map and of both.
    type State = [usize; 2];

    fn backward(self, ops: Ops<[usize; 2], 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = output_gradient(&ops, grads);
        let [first, all] = ops.state;
        add(&ops, 0, grads, |sum| {
            add_rows(maps::channels(&dy, 0..first), sum)
        });
        add(&ops, 1, grads, |sum| {
            add_rows(maps::channels(&dy, first..all), sum)
        });
    }
}

/// See [`crate::concat`].
pub(super) fn concat<C: CheckpointStrategy>(a: Float<C>, b: Float<C>) -> Float<C> {
    let output = maps::concat(a.primitive(), b.primitive());
    let channels = [shape4(a.primitive())[1], shape4(&output)[1]];
    match Concat
        .prepare::<C>([a.node(), b.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(channels, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
