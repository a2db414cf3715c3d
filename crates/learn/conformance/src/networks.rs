//! Networks in training mode: logits, gradients of all parameters, and running statistics.

use offramp_core::{MapShape, params};
use offramp_heads::{MultiExitNet, NetConfig, cascades, registry as heads};
use serde_json::{Value, json};

use crate::place::values;
use crate::{Check, Numbers, Place};

/// Tolerance of logits and running statistics; differences grow from layer to layer.
const TOLERANCE: f64 = 2e-4;
/// Tolerance of gradients.
const TURNING: f64 = 1e-1;
const CLASSES: usize = 5;
const BATCH: usize = 6;
const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// The networks whose code is that of another, smaller one: of each kind of block one is checked.
const LARGE: [&str; 22] = [
    "resnet14",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet8x4",
    "resnet32x4",
    "resnet34",
    "resnet101",
    "resnet152",
    "wrn40-1",
    "wrn40-2",
    "wrn28-10",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "shufflenetv2",
    "shufflenetv2-x1.5",
    "shufflenetv2-x2.0",
    "msdnet-batch",
    "msdnet-imagenet",
];

pub(crate) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for entry in heads() {
        let model = match entry.name {
            // It needs a teacher's shape.
            "projector" => continue,
            "branch" => json!({"backbone": "resnet8", "head": "branch", "exits": [0, 0, 2]}),
            name => json!({"backbone": "resnet8", "head": name}),
        };
        checks.push(check(format!("heads/{}", entry.name), model));
    }
    for entry in cascades().into_iter().filter(|entry| entry.name != "none") {
        let model = json!({"backbone": "resnet8", "cascade": entry.name});
        checks.push(check(format!("cascades/{}", entry.name), model));
    }
    let backbones = offramp_backbones::registry()
        .into_iter()
        .map(|entry| entry.name);
    for name in backbones.filter(|name| !LARGE.contains(name)) {
        checks.push(check(
            format!("backbones/{name}"),
            json!({"backbone": name}),
        ));
    }
    checks
}

fn check(name: String, model: Value) -> Check {
    let check = Check::new(name, TOLERANCE, move |place| numbers(&model, place));
    check.with_turning_gradients(TURNING)
}

fn network(model: &Value, place: &Place) -> MultiExitNet {
    let config: NetConfig = serde_json::from_value(model.clone()).expect("a network's settings");
    let net = config.init(CLASSES, IMAGE, &mut place.init(3));
    place.module(net.expect("a network that can be built"))
}

fn numbers(model: &Value, place: &Place) -> Numbers {
    let net = network(model, place);
    let x = place.leaf(6, [BATCH, IMAGE.channels, IMAGE.height, IMAGE.width]);
    let outputs = net.forward(x.clone());
    let probes = outputs.logits().enumerate();
    let probes = probes.map(|(k, logits)| place.probe(logits.clone(), k));
    let total = probes.reduce(|sum, probe| sum + probe);
    let gradients = total.expect("a network has exits").backward();
    let logits = outputs.logits().enumerate();
    let mut numbers: Numbers = logits
        .map(|(k, logits)| (format!("logits {k}"), values(logits.clone())))
        .collect();
    let image = x.grad(&gradients).map(values).unwrap_or_default();
    numbers.push(("gradient of the images".into(), image));
    let own = params::gradients(&net, &gradients).into_iter();
    numbers.extend(own.map(|(name, g)| (format!("gradient of {name}"), values(g))));
    let running = params::collect(&net).into_iter();
    let running = running.filter(|(name, _)| name.contains("running_"));
    numbers.extend(running.map(|(name, data)| (name, data.iter::<f64>().collect())));
    numbers
}
