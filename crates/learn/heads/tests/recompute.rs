//! Blocks computed twice against blocks kept: the same outputs, gradients and statistics.

mod support;

use burn::tensor::Tensor;
use offramp_core::params::{self, NamedTensors};
use offramp_core::{ExitOutputs, Precision, default_device};
use offramp_heads::{GradientFlow, MultiExitNet};
use serde_json::{Value, json};
use support::*;

/// Exits that want something of every stage too, as distillers do.
fn loss(outputs: &ExitOutputs, maps: bool) -> Tensor<1> {
    let exits = outputs.logits().enumerate();
    let exits = exits.map(|(at, z)| probe(z.clone().tanh() + z.clone() * 0.1, 20 + at));
    let stages = outputs.stages.iter().enumerate().filter(|_| maps);
    let stages = stages.map(|(at, map)| {
        let map = offramp_core::widened(map);
        probe(map, 40 + at) * 0.001
    });
    exits.chain(stages).reduce(|sum, term| sum + term).unwrap()
}

fn near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    let largest = expected.iter().fold(0.0f32, |most, g| most.max(g.abs()));
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f - e).abs() <= tolerance * largest,
            "{what}: {f} {e}, largest {largest}"
        );
    }
}

/// The backbone's tensors.
fn body(net: &MultiExitNet) -> NamedTensors {
    let tensors = params::collect(net).into_iter();
    tensors
        .filter(|(name, _)| name.starts_with("backbone."))
        .collect()
}

#[track_caller]
fn same(net: &MultiExitNet, precision: Precision, maps: bool) {
    let x = precision.cast(wave(1, [4, 3, 32, 32], 1.0));
    let (whole, again) = (net.clone(), net.clone());
    let outputs = whole.forward(x.clone());
    let expected = gradients(&whole, &loss(&outputs, maps).backward());
    let logits: Vec<_> = outputs.logits().map(|z| values(z.clone())).collect();

    let (outputs, boundaries) = again.forward_by_blocks(x);
    let found: Vec<_> = outputs.logits().map(|z| values(z.clone())).collect();
    assert!(found == logits, "logits");
    assert!(body(&again) == body(net), "no block has moved yet");
    let mut gradients_found = loss(&outputs, maps).backward();
    drop(outputs);
    again.backward_by_blocks(boundaries, &mut gradients_found);
    let found = gradients(&again, &gradients_found);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let tolerance = match precision {
        // Of the largest: the same numbers, added in another order.
        Precision::F32 => 5e-6,
        // The sum of the gradients of head and next block is rounded to eight bits.
        _ => 0.02,
    };
    for (name, gradient) in &found {
        near(gradient, &expected[name], tolerance, name);
    }
    let same = params::collect(&again) == params::collect(&whole);
    assert!(same, "running statistics");
}

fn check(model: Value, maps: bool) {
    println!("{model}");
    same(&net(model, 5), Precision::F32, maps);
}

#[test]
fn chains_of_maps_and_what_is_carried_beside_them() {
    check(json!({"backbone": "resnet8"}), true);
    check(json!({"backbone": "resnet18", "head": "sepconv"}), true);
    check(
        json!({"backbone": {"name": "resnet8", "taps": "inner"}}),
        true,
    );
    check(json!({"backbone": {"name": "msdnet", "blocks": 4}}), false);
    check(json!({"backbone": "mobilenetv2"}), false);
    check(json!({"backbone": "densenet121"}), false);
}

#[test]
fn every_kind_of_block() {
    check(json!({"backbone": "resnet50"}), false);
    check(json!({"backbone": "wrn16-2"}), true);
    // The biases before VGG's batch norms have gradients of nothing but rounding.
    check(json!({"backbone": "vgg8", "exits": [4]}), false);
    check(json!({"backbone": "mobilenetv3-small"}), false);
    check(json!({"backbone": "shufflenetv1"}), false);
    check(json!({"backbone": "shufflenetv2-x0.5"}), false);
    check(
        json!({"backbone": {"name": "msdnet", "blocks": 4, "prune": "min"}}),
        false,
    );
}

/// With one exit no gradient has two sources but within a block: nothing is added in another order.
#[test]
fn with_one_exit_the_last_bits_are_the_same() {
    // `auto` unless the environment says otherwise.
    let spec = offramp_core::DeviceSpec::from_env().unwrap().best();
    if spec != offramp_core::DeviceSpec::Cpu {
        return;
    }
    for (backbone, exit) in [("resnet8", 2), ("mobilenetv2", 4), ("densenet121", 3)] {
        let net = net(json!({"backbone": backbone, "exits": [exit]}), 5);
        let x = wave(1, [4, 3, 32, 32], 1.0);
        let expected = gradients(&net, &loss(&net.forward(x.clone()), false).backward());
        let (outputs, boundaries) = net.forward_by_blocks(x);
        let mut found = loss(&outputs, false).backward();
        net.backward_by_blocks(boundaries, &mut found);
        assert!(gradients(&net, &found) == expected, "{backbone}");
    }
}

#[test]
fn stages_without_an_exit_and_branches() {
    check(json!({"backbone": "resnet8", "exits": [2]}), true);
    check(json!({"backbone": "resnet8", "exits": [1, 2]}), true);
    check(
        json!({"backbone": "resnet8", "head": "branch", "exits": [0, 1, 1]}),
        true,
    );
    check(json!({"backbone": "resnet8", "cascade": "isc"}), true);
}

#[test]
fn gradient_equilibrium_and_a_frozen_backbone() {
    let model = json!({"backbone": "resnet18"});
    let equal = net(model.clone(), 5).with_gradients(GradientFlow::Equilibrium);
    same(&equal, Precision::F32, true);
    let branches = json!({"backbone": "resnet8", "head": "branch", "exits": [0, 1, 1]});
    same(
        &net(branches, 5).with_gradients(GradientFlow::Equilibrium),
        Precision::F32,
        true,
    );
    same(&net(model, 5).freeze_backbone(), Precision::F32, false);
}

#[test]
fn in_narrow_numbers() {
    let spec = offramp_core::DeviceSpec::from_env().unwrap();
    if Precision::Bf16
        .check(spec, &default_device().unwrap())
        .is_ok()
    {
        same(
            &net(json!({"backbone": "resnet8"}), 5),
            Precision::Bf16,
            true,
        );
    }
}
