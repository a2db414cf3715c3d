//! Adding up the gradients of a value that several operations read.
//!
//! burn adds the second gradient of a node to the first with the backend's own
//! addition, which walks a channels-last map element by element. This module
//! remembers which nodes hold a gradient already, so that a backward step can take
//! it out and add to it in place.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::Flex;
use burn::backend::autodiff::{NodeId, grads::Gradients, ops::Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;

/// Nodes to which a kernel has given a gradient that nobody has taken yet.
static PENDING: Mutex<Option<HashSet<NodeId>>> = Mutex::new(None);

/// Above this many the set is cleared: what it forgets is added by burn, to the same result.
const MOST: usize = 1 << 16;

fn pending() -> MutexGuard<'static, Option<HashSet<NodeId>>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gradient of the operation's output.
pub(super) fn output_gradient<S, const N: usize>(
    ops: &Ops<S, N>,
    grads: &mut Gradients,
) -> FlexTensor {
    if let Some(set) = pending().as_mut() {
        set.remove(&ops.node.id);
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
    let held = pending().as_ref().is_some_and(|set| set.contains(&node.id));
    let sum = (held && !leaf).then(|| grads.consume::<Flex>(node));
    let value = gradient(sum);
    grads.register::<Flex>(node.id, value);
    if !leaf {
        let mut guard = pending();
        let set = guard.get_or_insert_default();
        if set.len() >= MOST {
            set.clear();
        }
        set.insert(node.id);
    }
}

/// `value + sum` of row-major tensors.
pub(super) fn plus(value: FlexTensor, sum: Option<FlexTensor>) -> FlexTensor {
    match sum {
        Some(sum) => Flex::float_add(value, sum),
        None => value,
    }
}
