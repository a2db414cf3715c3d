//! Every backbone and every head in bfloat16 and float16, beside itself in float32.

mod support;

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use offramp_core::{DeviceSpec, Precision, default_device};
use offramp_heads::{GradientFlow, MultiExitNet, cascades, registry};
use serde_json::{Value, json};
use support::*;

const CLASSES: usize = 10;

/// The types that the device of the tests computes in, and how far the logits may be from float32's,
/// as a share of their size: `sqrt(sum (z - z')^2 / sum z^2)`. Most are at a tenth of that; where the last maps
/// have one position, batch norms see the eight values of a batch.
fn narrow_types() -> impl Iterator<Item = (Precision, f32)> {
    let spec = DeviceSpec::from_env().unwrap();
    let device = default_device().unwrap();
    [(Precision::Bf16, 0.25), (Precision::Fp16, 0.05)]
        .into_iter()
        .filter(move |(precision, _)| precision.check(spec, &device).is_ok())
}

fn distance(found: &Tensor<2>, expected: &Tensor<2>) -> f32 {
    let size = |z: Tensor<2>| z.square().sum().sqrt().into_scalar::<f32>();
    size(found.clone() - expected.clone()) / size(expected.clone())
}

/// The largest distance of an exit's logits, after everything has been looked at.
fn check(net: &MultiExitNet, precision: Precision) -> f32 {
    let x = wave(1, [8, 3, 32, 32], 1.0);
    let wide = net.clone().forward(x.clone());
    let before: Vec<_> = wide.logits().map(|z| z.clone().detach()).collect();
    let outputs = net.forward(precision.cast(x));
    for exit in &outputs.exits {
        for dtype in [
            exit.map.dtype(),
            exit.embedding.dtype(),
            exit.logits.dtype(),
        ] {
            assert_eq!(dtype, DType::F32, "what losses see");
        }
    }
    for map in &outputs.stages {
        assert_eq!(
            map.dtype(),
            DType::from(precision.dtype()),
            "what is computed"
        );
    }
    let losses = outputs.logits().map(|z| z.clone().square().mean());
    let total = losses.reduce(|sum, term| sum + term).unwrap() * 64.0;
    let found = total.backward();
    let gradients = offramp_core::params::gradients(net, &found);
    let parameters = offramp_core::params::collect(net);
    let trained = parameters.keys().filter(|name| !name.contains("running_"));
    assert_eq!(gradients.len(), trained.count());
    for (name, gradient) in gradients {
        assert_eq!(gradient.dtype(), DType::F32, "{name}");
        assert!(values(gradient).iter().all(|g| g.is_finite()), "{name}");
    }
    for (name, data) in offramp_core::params::collect(net) {
        assert_eq!(data.dtype(), DType::F32, "{name}");
    }
    (outputs.logits().zip(&before))
        .map(|(found, expected)| distance(&found.clone().detach(), expected))
        .fold(0.0, f32::max)
}

fn near(model: Value) {
    for (precision, tolerance) in narrow_types() {
        let net = net(model.clone(), CLASSES);
        let distance = check(&net, precision);
        println!("{model} {precision}: {distance:.4}");
        assert!(distance < tolerance, "{model} {precision}: {distance}");
    }
}

/// One backbone of every kind of layer and block.
const KINDS: [&str; 9] = [
    "resnet8",
    "resnext50-32x4d",
    "wrn16-2",
    "vgg8",
    "mobilenetv3-small",
    "shufflenetv1",
    "shufflenetv2-x0.5",
    "densenet121",
    "msdnet",
];

#[test]
fn every_kind_of_backbone() {
    for name in KINDS {
        near(json!({"backbone": name}));
    }
}

#[test]
#[ignore = "minutes: every backbone but the largest, just test-slow"]
fn every_backbone() {
    const LARGE: [&str; 5] = ["resnet101", "resnet152", "wrn28-10", "vgg16", "vgg19"];
    let names = offramp_backbones::registry()
        .into_iter()
        .map(|entry| entry.name);
    for name in names.filter(|name| !LARGE.contains(name) && !KINDS.contains(name)) {
        near(json!({"backbone": name}));
    }
}

#[test]
fn every_head() {
    for entry in registry() {
        let model = match entry.name {
            "branch" => json!({"backbone": "resnet8", "head": "branch", "exits": [1, 1]}),
            name => json!({"backbone": "resnet8", "head": name}),
        };
        near(model);
    }
}

#[test]
fn cascades_and_gradient_equilibrium() {
    for entry in cascades() {
        near(json!({"backbone": "resnet8", "cascade": entry.name}));
    }
    for (precision, tolerance) in narrow_types() {
        let net = net(json!({"backbone": "resnet8"}), CLASSES);
        let net = net.with_gradients(GradientFlow::Equilibrium);
        assert!(check(&net, precision) < tolerance);
    }
}

/// Evaluation is in float32 unless the images say otherwise.
#[test]
fn a_network_trained_in_narrow_numbers_is_a_float32_network() {
    let net = net(json!({"backbone": "resnet8"}), CLASSES);
    for (precision, _) in narrow_types() {
        net.forward(precision.cast(wave(1, [8, 3, 32, 32], 1.0)));
    }
    let outputs = net.valid().forward(wave(2, [1, 3, 32, 32], 1.0).inner());
    assert_eq!(outputs.stages[0].dtype(), DType::F32);
}
