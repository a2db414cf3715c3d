//! Tests of L2W-DEN.

use burn::tensor::{Device, Gradients};
use offramp_core::{ExitOutput, MapShape, default_device};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_nn::Init;

use super::*;
use crate::{NetworkInfo, TrialStep};

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 8,
    width: 8,
};

/// SGD without momentum.
struct Descent(f64);

impl TrialStep for Descent {
    fn step(&self, net: MultiExitNet, gradients: &mut Gradients) -> MultiExitNet {
        let along = params::gradients(&net, gradients);
        direction::moved(net, &along, -self.0)
    }

    fn gain(&self) -> f64 {
        self.0
    }

    fn progress(&self) -> f64 {
        1.0
    }
}

fn device() -> Device {
    default_device().unwrap().autodiff()
}

fn method(settings: &str, exits: usize) -> L2wDen {
    let info = NetworkInfo {
        exits,
        classes: 4,
        embedding_dims: vec![8; exits],
        exit_stages: (0..exits).collect(),
        stage_channels: vec![8; exits],
    };
    let config: L2wDenConfig = toml::from_str(settings).unwrap();
    config.init(&info, &mut Init::new(3, &device())).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn outputs(logits: &[[[f32; 2]; 4]]) -> ExitOutputs {
    let exit = |logits: &[[f32; 2]; 4]| {
        let logits = Tensor::<2>::from_floats(*logits, &device());
        ExitOutput::new(logits.clone(), logits)
    };
    logits.iter().map(exit).collect::<Vec<_>>().into()
}

fn targets(labels: &[i64]) -> Targets {
    Targets::new(Tensor::from_data(labels, &device()))
}

/// The numbers of `methods.md`, 6.18: [.2, .5, .8] becomes [.76, 1, 1.24]; `row` and `mat` by hand.
#[test]
fn deviations_cancel() {
    let raw = [[0.2, 0.5, 0.8], [0.6, 0.5, 0.4]];
    for (zero_mean, expected) in [
        ("sample", [0.76, 1.0, 1.24, 1.08, 1.0, 0.92]),
        ("exit", [0.84, 1.0, 1.16, 1.16, 1.0, 0.84]),
        ("batch", [0.76, 1.0, 1.24, 1.08, 1.0, 0.92]),
    ] {
        let method = method(&format!("zero-mean = {zero_mean:?}"), 3);
        let losses = Losses {
            loss: Tensor::zeros([2, 3], &device()),
            known: Tensor::ones([2, 1], &device()),
        };
        let weights = method.scaled(Tensor::from_floats(raw, &device()), &losses);
        for (found, expected) in values(weights).iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-6,
                "{zero_mean}: {found} {expected}"
            );
        }
    }
}

#[test]
fn rows_without_a_label_are_not_in_a_mean() {
    let method = method("zero-mean = \"exit\"", 2);
    let raw = |third: f32| Tensor::from_floats([[0.2, 0.9], [0.4, 0.1], [third, third]], &device());
    let losses = Losses {
        loss: Tensor::zeros([3, 2], &device()),
        known: Tensor::from_floats([[1.0], [1.0], [0.0]], &device()),
    };
    let weights = |third| values(method.scaled(raw(third), &losses))[..4].to_vec();
    assert_eq!(weights(0.0), weights(1.0));
}

/// Four samples, `q = 1`: one leaves at each of the first two exits, two at the last.
#[test]
fn the_most_confident_leave_first() {
    let outputs = outputs(&[
        [[0.0, 1.0], [0.0, 3.0], [2.0, 0.0], [0.0, 0.0]],
        [[0.0, 1.0], [0.0, 9.0], [2.0, 0.0], [0.0, 5.0]],
        [[0.0, 1.0], [0.0, 9.0], [2.0, 0.0], [0.0, 5.0]],
    ]);
    assert_eq!(
        leaving(&outputs, &[0.25, 0.34, 0.41]),
        [vec![1], vec![3], vec![2, 0]]
    );
    assert_eq!(leaving(&outputs, &[0.9, 0.9, 0.0])[2], [0_i64; 0]);
}

/// `dL_meta/dphi`, found along a gradient by differences of passes, against differences of the
/// whole: weights, step and judgement with the weight net moved. Two independent ways.
#[test]
fn the_derivative_through_the_step() {
    let config: NetConfig =
        serde_json::from_str(r#"{"backbone": "resnet8", "exits": [0, 2]}"#).unwrap();
    let net = config.init(4, IMAGE, &mut Init::new(1, &device())).unwrap();
    let images = Init::new(2, &device())
        .normal([24, 3, 8, 8], 1.0)
        .val()
        .detach();
    let labels: Vec<i64> = (0..24).map(|n| if n == 5 { -1 } else { n % 4 }).collect();
    let targets = targets(&labels);
    for zero_mean in ["sample", "batch"] {
        let mut method = method(&format!("zero-mean = {zero_mean:?}\nhidden = 6"), 2);
        let optimizer = Descent(0.02);
        let look_ahead = LookAhead {
            net: &net,
            images: &images,
            targets: &targets,
            optimizer: &optimizer,
        };
        let (slope, weights) = method.derivative(&look_ahead, 0..12, 12..24).unwrap();
        let along = params::gradients(&method.weight_net, &(weights * slope).sum().backward());
        let expected = direction::norm(&along).unwrap();
        let start = method.weight_net.clone();
        let mut judged = |step: f64| {
            method.weight_net = direction::moved(start.clone(), &along, step / expected);
            let (images, labels) = part(&look_ahead, 0..12);
            let outputs = net.clone().forward(images);
            let losses = Losses::of(&outputs, &labels);
            let weights = method.weights(&outputs, &losses).detach();
            let weighted = (losses.loss.clone() * weights).sum() / losses.count();
            let ahead = optimizer.step(net.clone(), &mut weighted.backward());
            let (images, labels) = part(&look_ahead, 12..24);
            let loss = method.judged(&ahead.forward(images), &labels).unwrap();
            loss.into_scalar::<f64>()
        };
        let step = 0.1;
        let found = (judged(step) - judged(-step)) / (2.0 * step);
        // float32 differences of both; ten times the step is off by a tenth, see `DIFFERENCE`.
        assert!(
            (found - expected).abs() <= 0.03 * expected,
            "{zero_mean}: {found} {expected}"
        );
    }
}

fn weight(net: &WeightNet) -> Tensor<2> {
    net.hidden.weight.val()
}

/// `torch.optim.Adam(lr=0.1, weight_decay=0.5)`, its two updates written out in float64.
#[test]
fn adam_is_pytorchs() {
    let mut init = Init::new(0, &device());
    let mut net = WeightNet::new(2, 3, 2, &mut init);
    let mut adam = Adam::new(&net);
    let start = values(weight(&net));
    let mut expected: Vec<(f64, f64, f64)> =
        start.iter().map(|w| (f64::from(*w), 0.0, 0.0)).collect();
    for (step, factor) in [1.0, -3.0].into_iter().enumerate() {
        let loss = weight(&net).sum() * factor;
        net = adam.step(net, &loss.backward(), 0.1, 0.5);
        let left = |beta: f64| 1.0 - beta.powi(step as i32 + 1);
        for (w, mean, square) in &mut expected {
            let gradient = factor + 0.5 * *w;
            *mean = 0.9 * *mean + 0.1 * gradient;
            *square = 0.999 * *square + 0.001 * gradient * gradient;
            *w -= 0.1 * (*mean / left(0.9)) / ((*square / left(0.999)).sqrt() + 1e-8);
        }
    }
    for (found, (expected, ..)) in values(weight(&net)).iter().zip(&expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-5,
            "{found} {expected}"
        );
    }
    assert_eq!(adam.steps(), 2);
}

/// The weights of one step shift towards the samples and exits that help.
#[test]
fn looking_ahead_changes_the_weight_net_and_nothing_else() {
    let config: NetConfig = serde_json::from_str(r#"{"backbone": "resnet8"}"#).unwrap();
    let net = config.init(4, IMAGE, &mut Init::new(1, &device())).unwrap();
    let before = params::collect(&net);
    for count in [7, 2, 1] {
        let mut method = method("hidden = 4", 3);
        let start = params::collect(&method.weight_net);
        let images = Init::new(2, &device())
            .normal([count, 3, 8, 8], 1.0)
            .val()
            .detach();
        let labels: Vec<i64> = (0..count as i64).map(|n| n % 4).collect();
        method.look_ahead(&LookAhead {
            net: &net,
            images: &images,
            targets: &targets(&labels),
            optimizer: &Descent(0.1),
        });
        let after = params::collect(&method.weight_net);
        // One sample cannot be divided.
        assert_eq!(after != start, count > 1, "{count}");
        assert_eq!(method.adam.steps(), if count > 1 { 2 } else { 0 });
        let finite = |data: &TensorData| data.iter::<f32>().all(f32::is_finite);
        assert!(after.values().all(finite));
        assert_eq!(params::collect(&net), before);
    }
}
