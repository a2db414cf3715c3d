//! Adding up the gradients of a value that several operations read.
//!
//! burn adds the second gradient of a node to the first with the backend's own
//! addition, which walks a channels-last map element by element. This module
//! remembers which nodes hold a gradient already, so that a backward step can take
//! it out and add to it in place.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::Flex;
use burn::backend::autodiff::{NodeId, grads::Gradients, ops::Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;

/// The largest number of nodes that are remembered. Those whose gradient an operation of burn takes are
/// never removed, so the oldest are forgotten: a backward pass loses one only after giving to as many others.
const MOST: usize = 1 << 16;

/// Nodes to which a kernel has given a gradient that no kernel has taken yet.
///
/// That a node is listed and its gradient gone does no harm: an operation takes the gradient of
/// its output after all readers of that output have given theirs, nothing adds to it afterwards.
/// (burn refuses a second backward pass over the same nodes, and ids are never used twice.) That a
/// node is forgotten costs an addition by burn, which may round differently: the convolution goes
/// on summing from the gradient that is there, burn adds two finished sums. Forgetting the oldest
/// and never all at once keeps a long run, and a resumed one, at the same bits.
#[derive(Default)]
struct Pending {
    nodes: HashSet<NodeId>,
    /// The same in the order in which they came, with some that were taken since.
    order: VecDeque<NodeId>,
}

impl Pending {
    fn insert(&mut self, node: NodeId) {
        if !self.nodes.insert(node) {
            return;
        }
        self.order.push_back(node);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.nodes.remove(&oldest);
        }
    }
}

static PENDING: Mutex<Option<Pending>> = Mutex::new(None);

fn pending() -> MutexGuard<'static, Option<Pending>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gradient of the operation's output.
pub(super) fn output_gradient<S, const N: usize>(
    ops: &Ops<S, N>,
    grads: &mut Gradients,
) -> FlexTensor {
    if let Some(pending) = pending().as_mut() {
        pending.nodes.remove(&ops.node.id);
    }
    grads.consume::<Flex>(&ops.node)
}

/// Whether the input wants a gradient.
pub(super) fn wanted<S, const N: usize>(ops: &Ops<S, N>, input: usize) -> bool {
    ops.parents[input].is_some()
}

/// Gives a gradient to an input that wants one. `gradient` receives the sum so far,
/// if a kernel made it, and returns it with its own part added.
pub(super) fn add<S, const N: usize>(
    ops: &Ops<S, N>,
    input: usize,
    grads: &mut Gradients,
    gradient: impl FnOnce(Option<FlexTensor>) -> FlexTensor,
) {
    let Some(node) = &ops.parents[input] else {
        return;
    };
    // Taking the gradient of a leaf leaves it in place, burn would add it twice.
    let leaf = node.parents.is_empty();
    let held = pending()
        .as_ref()
        .is_some_and(|pending| pending.nodes.contains(&node.id));
    let sum = (held && !leaf).then(|| grads.consume::<Flex>(node));
    let value = gradient(sum);
    grads.register::<Flex>(node.id, value);
    if !leaf {
        pending().get_or_insert_default().insert(node.id);
    }
}

/// `value + sum` of row-major tensors.
pub(super) fn plus(value: FlexTensor, sum: Option<FlexTensor>) -> FlexTensor {
    match sum {
        Some(sum) => Flex::float_add(value, sum),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut pending = Pending::default();
        let nodes: Vec<NodeId> = (0..MOST + 10).map(|_| NodeId::new()).collect();
        for (i, &node) in nodes.iter().enumerate() {
            pending.insert(node);
            pending.insert(node);
            // Every third is taken by a kernel.
            if i % 3 == 0 {
                pending.nodes.remove(&node);
            }
        }
        assert!(nodes[..10].iter().all(|n| !pending.nodes.contains(n)));
        for (i, node) in nodes.iter().enumerate().skip(10) {
            assert_eq!(pending.nodes.contains(node), i % 3 != 0, "node {i}");
        }
        assert_eq!(pending.order.len(), MOST);
    }
}
