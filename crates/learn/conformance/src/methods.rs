//! Training methods: the teachers and losses of each, with the gradients of exits and of teachers.

use burn::tensor::Tensor;
use offramp_core::{ExitOutput, ExitOutputs, params};
use offramp_methods::{Method, NetworkInfo, StepContext, Targets, registry};

use crate::place::values;
use crate::{Check, Numbers, Place};

const TOLERANCE: f64 = 2e-5;
const EXITS: usize = 3;
const CLASSES: usize = 4;
const WIDTH: usize = 6;
const LABELS: [i64; 5] = [0, -1, 3, 1, 1];

/// The end of training: every ramp is at 1.
pub(crate) const END: StepContext = StepContext {
    epoch: 10.0,
    epochs: 10.0,
    step: 100,
    seed: 7,
};

pub(crate) fn checks() -> Vec<Check> {
    let check = |entry: &'static offramp_methods::MethodEntry| {
        Check::new(format!("methods/{}", entry.name), TOLERANCE, |place| {
            numbers(entry, place)
        })
    };
    registry().iter().map(check).collect()
}

/// Embedding and logits of every exit, and maps whose means the embeddings are.
fn outputs(place: &Place) -> (ExitOutputs, Vec<Tensor<2>>) {
    let leaf = |seed: usize, width: usize| place.leaf(seed, [LABELS.len(), width]);
    let leaves: Vec<_> = (0..EXITS)
        .flat_map(|k| [leaf(2 * k, WIDTH), leaf(2 * k + 1, CLASSES)])
        .collect();
    let exit = |pair: &[Tensor<2>]| ExitOutput::new(pair[0].clone(), pair[1].clone() * 3.0);
    let exits: Vec<_> = leaves.chunks(2).map(exit).collect();
    let stage = |exit: &ExitOutput| {
        let pooled: Tensor<4> = exit.embedding.clone().unsqueeze_dims(&[2, 3]);
        Tensor::cat(vec![pooled.clone() * 1.5, pooled * 0.5], 3)
    };
    let stages = exits.iter().map(stage).collect();
    (ExitOutputs { stages, exits }, leaves)
}

fn numbers(entry: &offramp_methods::MethodEntry, place: &Place) -> Numbers {
    let net = NetworkInfo {
        exits: EXITS,
        classes: CLASSES,
        embedding_dims: vec![WIDTH; EXITS],
        exit_stages: (0..EXITS).collect(),
        stage_channels: vec![WIDTH; EXITS],
    };
    let method = (entry.config)().init(&net, &mut place.init(5));
    let method = place.module(method.expect("the defaults suit any network"));
    let (outputs, leaves) = outputs(place);
    let terms = method.losses(&outputs, &Targets::new(place.labels(&LABELS)), &END);
    let gradients = terms.total().backward();
    let mut numbers: Numbers = terms
        .iter()
        .map(|term| (term.name.clone(), values(term.value.clone())))
        .collect();
    for (i, leaf) in leaves.into_iter().enumerate() {
        let gradient = leaf.grad(&gradients).map(values).unwrap_or_default();
        numbers.push((format!("gradient {i}"), gradient));
    }
    let own = params::gradients(&method, &gradients);
    numbers.extend(own.into_iter().map(|(name, g)| (name, values(g))));
    numbers
}
