//! Gradient equilibrium against its formula, exit by exit and parameter by parameter.

mod support;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::Features;
use offramp_heads::{GradientFlow, MultiExitNet};
use serde_json::{Value, json};
use support::*;

const CLASSES: usize = 4;

type Named = BTreeMap<String, Vec<f32>>;

fn images() -> Tensor<4> {
    wave(1, [3, 3, 32, 32], 1.0)
}

/// What exit `exit` wants, not linear in its logits.
fn wish(logits: &Tensor<2>, exit: usize) -> Tensor<1> {
    probe(logits.clone().tanh() + logits.clone() * 0.1, 20 + exit)
}

/// Gradients of all parameters, the exits' wishes and one for the map of every stage added up.
fn learned(net: &MultiExitNet, with_maps: bool) -> Named {
    let outputs = net.forward(images());
    let exits = outputs.logits().enumerate();
    let exits = exits.map(|(exit, logits)| wish(logits, exit));
    let maps = outputs.stages.iter().enumerate().filter(|_| with_maps);
    let maps = maps.map(|(stage, map)| probe(map.clone(), 40 + stage) * 0.01);
    let total = exits.chain(maps).reduce(|sum, term| sum + term).unwrap();
    gradients(net, &total.backward())
}

fn leaf(features: &Features) -> Features {
    features.clone().map_each(|map| map.detach().require_grad())
}

/// The gradients of the parameters of segment `exit` alone and of its input, for the gradient `g`
/// of the map that it ends with.
fn segment(net: &MultiExitNet, exit: usize, x: &Features, g: Tensor<4>) -> (Named, Tensor<4>) {
    let x = leaf(x);
    let out = net.segment(exit, x.clone()).map;
    let backward = (out * g).sum().backward();
    let input = x.map.grad(&backward).expect("a gradient");
    let input = Tensor::from_inner(input);
    (gradients(net, &backward), input)
}

/// The gradients by the formula of Li et al., put together from the deepest exit to the first.
fn by_formula(net: &MultiExitNet) -> Named {
    let exits = net.num_exits();
    let mut inputs = vec![Features::from(images())];
    for exit in 0..exits {
        let next = net.segment(exit, inputs[exit].clone());
        inputs.push(next.map_each(Tensor::detach));
    }
    let mut all = Named::new();
    let mut following: Option<Tensor<4>> = None;
    for exit in (0..exits).rev() {
        let map = leaf(&inputs[exit + 1]).map;
        let backward = wish(&net.exit(exit, map.clone(), None).logits, exit).backward();
        all.extend(gradients(net, &backward));
        let own: Tensor<4> = Tensor::from_inner(map.grad(&backward).expect("a gradient"));
        let left = (exits - exit) as f64;
        let sum = match following {
            Some(following) => own + following * (left - 1.0),
            None => own,
        };
        let (parameters, input) = segment(net, exit, &inputs[exit], sum / left);
        all.extend(parameters);
        following = Some(input);
    }
    all
}

#[track_caller]
fn assert_same(what: &str, found: &Named, expected: &Named) {
    let names = |named: &Named| named.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, expected) in expected {
        let size = expected.iter().fold(1e-6f32, |size, e| size.max(e.abs()));
        for (found, expected) in found[name].iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-4 * size,
                "{what}, {name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn every_stage_gets_what_the_formula_says() {
    let plain = net(json!({"backbone": "resnet8"}), CLASSES);
    let balanced = plain.clone().with_gradients(GradientFlow::Equilibrium);
    let found = learned(&balanced, false);
    assert!(found.len() > 30);
    assert_same("equilibrium", &found, &by_formula(&plain));
}

/// The names of the parameters between exits `exit - 1` and `exit`.
fn between(net: &MultiExitNet, exit: usize) -> Vec<String> {
    let mut x = Features::from(images());
    for exit in 0..exit {
        x = net.segment(exit, x).map_each(Tensor::detach);
    }
    let out = net.segment(exit, x);
    let all = out
        .carried
        .iter()
        .fold(out.map.sum(), |sum, map| sum + map.clone().sum());
    gradients(net, &all.backward()).into_keys().collect()
}

/// In whatever way the exits hang together, what is carried past them and what maps are taught.
#[test]
fn it_is_the_plain_gradient_divided_by_the_exits_to_come() {
    let models: [(Value, bool); 5] = [
        (json!({"backbone": "resnet8"}), true),
        (
            json!({"backbone": {"name": "resnet8", "taps": "inner"}}),
            false,
        ),
        (
            json!({"backbone": {"name": "resnet14", "taps": "inner"}, "exits": [1, 4, 5]}),
            true,
        ),
        (
            json!({"backbone": "resnet8", "cascade": "isc", "head": "sepconv"}),
            false,
        ),
        (json!({"backbone": "resnet8", "exits": [2]}), true),
    ];
    for (model, with_maps) in models {
        let plain = net(model.clone(), CLASSES);
        let mut expected = learned(&plain, with_maps);
        let exits = plain.num_exits();
        for exit in 0..exits {
            for name in between(&plain, exit) {
                for value in expected.get_mut(&name).expect("it learns") {
                    *value /= (exits - exit) as f32;
                }
            }
        }
        let balanced = plain.with_gradients(GradientFlow::Equilibrium);
        assert_same(
            &model.to_string(),
            &learned(&balanced, with_maps),
            &expected,
        );
    }
}

/// Bit for bit, in training and in evaluation.
#[test]
fn nothing_that_is_computed_changes() {
    for model in [
        json!({"backbone": "resnet8", "cascade": "isc"}),
        json!({"backbone": {"name": "resnet8", "taps": "inner"}}),
    ] {
        let plain = net(model, CLASSES);
        let balanced = plain.clone().with_gradients(GradientFlow::Equilibrium);
        let all = |net: &MultiExitNet, x: Tensor<4>| -> Vec<Vec<f32>> {
            let outputs = net.forward(x);
            let maps = outputs.stages.iter().cloned().map(values);
            maps.chain(outputs.logits().cloned().map(values)).collect()
        };
        assert_eq!(all(&plain, images()), all(&balanced, images()));
        let x = images().without_autodiff();
        assert_eq!(all(&plain.valid(), x.clone()), all(&balanced.valid(), x));
    }
}

/// A frozen backbone has nothing to balance, and heads learn as ever.
#[test]
fn heads_of_a_frozen_backbone_learn_as_ever() {
    let plain = net(json!({"backbone": "resnet8"}), CLASSES).freeze_backbone();
    let balanced = plain.clone().with_gradients(GradientFlow::Equilibrium);
    let found = learned(&balanced, false);
    assert!(!found.is_empty() && found.keys().all(|name| name.starts_with("heads.")));
    assert_eq!(found, learned(&plain, false));
}
