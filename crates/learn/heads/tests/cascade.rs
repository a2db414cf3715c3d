//! Cascades: values and gradients against PyTorch, limits, costs, files and mistakes.

mod support;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use offramp_core::default_device;
use offramp_core::params::{apply, collect};
use offramp_heads::{
    MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig, cascades, load_model, save_model,
};
use offramp_kernels::softmax_cross_entropy;
use serde_json::{Value, json};
use support::*;

const CLASSES: usize = 5;
const WIDTHS: [usize; 3] = [16, 32, 64];
const LABELS: [i64; 4] = [1, 0, 4, 2];

fn cascade(kind: Value) -> MultiExitNet {
    net(json!({"backbone": "resnet8", "cascade": kind}), CLASSES)
}

/// Every kind with links into all exits but the first.
fn linked() -> [Value; 4] {
    [
        json!("boost"),
        json!({"name": "ztw", "last": true}),
        json!({"name": "ztw", "norm": true, "last": true}),
        json!("isc"),
    ]
}

/// The network with waves for the parameters of heads and links, numbered by their names.
fn with_waves(net: MultiExitNet) -> MultiExitNet {
    let mut tensors = collect(&net);
    let trained = |(name, _): &(&String, &mut TensorData)| {
        !name.starts_with("backbone.") && !name.contains("running_")
    };
    for (i, (_, data)) in tensors.iter_mut().filter(trained).enumerate() {
        let values = numbers(100 + i, data.num_elements(), 0.5);
        *data = TensorData::new(values, data.shape().clone());
    }
    apply(net, tensors).unwrap()
}

/// Logits of all exits from maps that are waves.
fn answers(net: &MultiExitNet) -> Vec<Tensor<2>> {
    let mut answers: Vec<Tensor<2>> = Vec::new();
    for (exit, width) in WIDTHS.into_iter().enumerate() {
        let map = wave(exit, [LABELS.len(), width, 2, 2], 1.0);
        let previous = answers.last().cloned();
        answers.push(net.exit(exit, map, previous).logits);
    }
    answers
}

fn loss(answers: &[Tensor<2>]) -> Tensor<1> {
    let labels = Tensor::<1, Int>::from_data(LABELS, &answers[0].device());
    let losses = answers
        .iter()
        .map(|z| softmax_cross_entropy(z.clone(), labels.clone()).mean());
    losses.reduce(|sum, loss| sum + loss).unwrap()
}

/// From `python/cascade.py`.
#[track_caller]
fn assert_golden(kind: Value, golden: &[(&str, f64)]) {
    let net = with_waves(cascade(kind));
    let answers = answers(&net);
    let loss = loss(&answers);
    let mut found = BTreeMap::from([("loss".to_owned(), f64::from(values(loss.clone())[0]))]);
    for (exit, logits) in answers.into_iter().enumerate() {
        let value = values(probe(logits, 50 + exit))[0];
        found.insert(format!("logits.{exit}"), f64::from(value));
    }
    for (i, (name, gradient)) in gradients(&net, &loss.backward()).into_iter().enumerate() {
        let weights = numbers(200 + i, gradient.len(), 1.0);
        let products = gradient
            .iter()
            .zip(weights)
            .map(|(g, w)| f64::from(*g) * f64::from(w));
        found.insert(name, products.sum());
    }
    let names =
        |golden: &[(&str, f64)]| golden.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut expected: Vec<String> = names(golden);
    expected.sort();
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), expected);
    for (name, expected) in golden {
        let error = (found[*name] - expected).abs();
        assert!(
            error <= 1e-5 * expected.abs().max(1.0),
            "{name}: {} {expected}",
            found[*name]
        );
    }
}

#[test]
fn boost_is_boostnet() {
    assert_golden(
        json!("boost"),
        &[
            ("loss", 6.401414952),
            ("logits.0", -0.284311798),
            ("logits.1", 1.324538471),
            ("logits.2", 0.182990592),
            ("heads.0.fc.bias", -0.066853591),
            ("heads.0.fc.weight", -0.327954060),
            ("heads.1.fc.bias", -0.427067947),
            ("heads.1.fc.weight", -0.672462542),
            ("heads.2.fc.bias", -0.126977124),
            ("heads.2.fc.weight", 0.265223192),
        ],
    );
}

#[test]
fn ztw_is_a_linear_layer_of_both() {
    assert_golden(
        json!("ztw"),
        &[
            ("loss", 5.956110631),
            ("logits.0", -0.284311798),
            ("logits.1", -1.322743152),
            ("logits.2", -1.696140390),
            ("heads.0.fc.bias", -0.066853591),
            ("heads.0.fc.weight", -0.327954060),
            ("heads.1.fc.bias", -0.328512491),
            ("heads.1.fc.weight", -0.416282741),
            ("heads.2.fc.bias", 0.047870865),
            ("heads.2.fc.weight", 0.231608086),
            ("links.1.fc.weight", 0.312398249),
        ],
    );
}

#[test]
fn ztw_with_normalised_logits_up_to_the_last_exit() {
    assert_golden(
        json!({"name": "ztw", "norm": true, "last": true}),
        &[
            ("loss", 5.965010892),
            ("logits.0", -0.284311798),
            ("logits.1", -1.412784606),
            ("logits.2", -0.427646002),
            ("heads.0.fc.bias", -0.066853591),
            ("heads.0.fc.weight", -0.327954060),
            ("heads.1.fc.bias", -0.432583393),
            ("heads.1.fc.weight", -0.388297289),
            ("heads.2.fc.bias", 0.289989216),
            ("heads.2.fc.weight", 0.248521225),
            ("links.1.fc.weight", -0.260130479),
            ("links.1.norm.bias", 0.066304308),
            ("links.1.norm.weight", -0.281993547),
            ("links.2.fc.weight", -0.166289793),
            ("links.2.norm.bias", -0.218463496),
            ("links.2.norm.weight", -0.183281886),
        ],
    );
}

#[test]
fn isc_is_a_classifier_of_both() {
    assert_golden(
        json!("isc"),
        &[
            ("loss", 7.505010283),
            ("logits.0", -0.284311798),
            ("logits.1", 0.168692540),
            ("logits.2", -5.757612046),
            ("heads.0.fc.bias", -0.066853591),
            ("heads.0.fc.weight", -2.464519338),
            ("heads.1.fc.bias", -0.044154995),
            ("heads.1.fc.weight", -0.051762522),
            ("heads.2.fc.bias", -0.511607363),
            ("heads.2.fc.weight", 0.328661516),
            ("links.1.bn.bias", -0.478109944),
            ("links.1.bn.weight", -0.931025155),
            ("links.1.expand.bias", 0.0),
            ("links.1.expand.weight", 0.254293029),
            ("links.1.fc.weight", -1.081403640),
            ("links.2.bn.bias", -1.190102082),
            ("links.2.bn.weight", -1.427090322),
            ("links.2.expand.bias", 0.0),
            ("links.2.expand.weight", 0.976185545),
            ("links.2.fc.weight", -3.174251122),
        ],
    );
}

/// `d loss / d previous` by central differences; 0 where the gradient stops.
#[test]
fn only_isc_learns_through_the_link() {
    for kind in linked() {
        let net = with_waves(cascade(kind.clone()));
        let value = |previous: Tensor<2>| {
            let map = wave(1, [4, WIDTHS[1], 2, 2], 1.0);
            probe(net.exit(1, map, Some(previous)).logits, 8)
        };
        let start = numbers(5, 4 * CLASSES, 2.0);
        let at = |numbers: &[f32]| {
            let device = default_device().unwrap().autodiff();
            Tensor::<1>::from_floats(numbers, &device).reshape([4, CLASSES])
        };
        let previous = at(&start).require_grad();
        let total = value(previous.clone());
        let gradient = match previous.grad(&total.backward()) {
            Some(gradient) => values(gradient),
            None => vec![0.0; start.len()],
        };
        assert_eq!(gradient.iter().any(|g| *g != 0.0), kind == "isc", "{kind}");
        if kind != "isc" {
            continue;
        }
        let size = gradient.iter().fold(0.0f32, |size, g| size.max(g.abs()));
        for (i, found) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut numbers = start.clone();
                numbers[i] += by;
                values(value(at(&numbers)))[0]
            };
            let expected = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            assert!(
                (found - expected).abs() <= 1e-2 * size,
                "{i}: {found} {expected}"
            );
        }
    }
}

/// Logits of 10,000 before a link, and a batch of one; in training and in evaluation.
#[test]
fn extreme_answers_stay_finite() {
    for kind in linked() {
        let net = cascade(kind.clone());
        let x = wave(1, [1, 3, 32, 32], 1.0);
        let mut tensors = collect(&net);
        let bias = TensorData::new(vec![1e4f32, -1e4, 0.0, 1e4, -1e4], [CLASSES]);
        tensors.insert("heads.0.fc.bias".to_owned(), bias);
        let net = apply(net, tensors).unwrap();
        for x in [x.clone(), Tensor::cat(vec![x.clone(), x.clone() * -2.0], 0)] {
            let outputs = net.forward(x.clone());
            let labels = Tensor::<1, Int>::zeros([x.dims()[0]], &x.device());
            let losses = outputs
                .logits()
                .map(|z| softmax_cross_entropy(z.clone(), labels.clone()).sum());
            let loss = losses.reduce(|sum, loss| sum + loss).unwrap();
            let learned = gradients(&net, &loss.backward());
            let all = outputs.logits().cloned().flat_map(values);
            let all = all.chain(learned.into_values().flatten());
            let evaluated = net.valid().forward(x.without_autodiff());
            let evaluated = evaluated.logits().cloned().flat_map(values);
            assert!(all.chain(evaluated).all(f32::is_finite), "{kind}");
        }
    }
}

#[test]
fn costs_count_the_links() {
    let alone = cascade(json!("none")).exit_costs(IMAGE);
    for (kind, macs) in [
        (json!("boost"), [0, 0, 0]),
        (json!("ztw"), [0, 25, 25]),
        (json!({"name": "ztw", "last": true}), [0, 25, 50]),
        (json!("isc"), [0, 320, 960]),
    ] {
        let net = cascade(kind.clone());
        let costs = net.exit_costs(IMAGE);
        let more: Vec<u64> = costs
            .iter()
            .zip(&alone)
            .map(|(a, b)| a.macs - b.macs)
            .collect();
        assert_eq!(more, macs, "{kind}");
        let trained = |(name, data): (String, TensorData)| {
            if name.contains("running_") {
                0
            } else {
                data.num_elements() as u64
            }
        };
        let params: u64 = collect(&net).into_iter().map(trained).sum();
        assert_eq!(costs.last().unwrap().params, params, "{kind}");
        assert_eq!(
            (0..3).map(|exit| net.is_linked(exit)).collect::<Vec<_>>(),
            [false, true, kind != "ztw"],
        );
    }
}

/// Heads begin alike with and without links.
#[test]
fn links_are_drawn_last() {
    let alone = collect(&cascade(json!("none")));
    for kind in linked() {
        let with = collect(&cascade(kind));
        assert!(alone.iter().all(|(name, data)| with[name] == *data));
    }
}

#[test]
fn a_cascade_survives_the_disk_and_a_card_without_one_is_as_before() {
    for entry in cascades() {
        let model = json!({"backbone": "resnet8", "cascade": entry.name});
        let config: NetConfig = serde_json::from_value(model.clone()).unwrap();
        assert_eq!(config.cascade, (entry.config)());
        let shown = serde_json::to_value(&config).unwrap();
        assert_eq!(shown.get("cascade").is_none(), entry.name == "none");
        let card = ModelCard {
            format: MODEL_FORMAT,
            net: config,
            classes: (0..CLASSES).map(|class| class.to_string()).collect(),
            image: IMAGE,
            resize: IMAGE,
            mean: [0.5; 3],
            std: [0.25; 3],
            dataset: "generated".to_owned(),
            commit: None,
            sha256: String::new(),
        };
        let net = net(model, CLASSES).valid();
        let dir = tempfile::tempdir().unwrap();
        save_model(dir.path(), &net, card).unwrap();
        let (loaded, _) = load_model(dir.path(), &default_device().unwrap()).unwrap();
        assert_eq!(collect(&loaded), collect(&net));
        let x = wave(2, [2, 3, 32, 32], 1.0).without_autodiff();
        let logits = |net: &MultiExitNet| -> Vec<Vec<f32>> {
            net.forward(x.clone())
                .logits()
                .cloned()
                .map(values)
                .collect()
        };
        assert_eq!(logits(&loaded), logits(&net), "{}", entry.name);
    }
}

#[test]
fn mistakes_are_named() {
    let error = |cascade: Value| {
        serde_json::from_value::<NetConfig>(json!({"cascade": cascade}))
            .unwrap_err()
            .to_string()
    };
    for (cascade, parts) in [
        (
            json!("bost"),
            &["bost", "did you mean \"boost\"", "ztw"][..],
        ),
        (
            json!({"name": "boost", "decay": 0}),
            &["boost", "decay: 0 "],
        ),
        (json!({"name": "boost", "decay": 1.5}), &["decay: 1.5"]),
        (json!({"name": "boost", "decay": "x"}), &["boost", "string"]),
        (
            json!({"name": "boost", "rate": 1}),
            &["boost", "rate", "decay"],
        ),
        (json!({"name": "isc", "norm": true}), &["isc", "norm"]),
        (json!({"name": "none", "norm": true}), &["none", "norm"]),
        (json!({"decay": 1}), &["needs a name"]),
        (json!(3), &["not 3"]),
    ] {
        let message = error(cascade);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    for (kind, exits, needed) in [
        ("boost", json!([2]), "at least 2"),
        ("isc", json!([2]), "at least 2"),
        ("ztw", json!([1, 2]), "at least 3"),
    ] {
        let model = json!({"backbone": "resnet8", "exits": exits, "cascade": kind});
        let message = try_net(model, CLASSES).unwrap_err().to_string();
        for part in [kind, needed, "model.exits", "model.cascade"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
