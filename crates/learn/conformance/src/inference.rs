//! The early-exit runner: the exit and the prediction of every image.

use burn::module::Module;
use offramp_core::MapShape;
use offramp_heads::NetConfig;
use offramp_infer::Runner;
use offramp_policies::{AnyPolicy, Criterion};

use crate::{Check, Numbers, Place};

/// Of the logits; the exits are the same ones.
const TOLERANCE: f64 = 1e-4;
const CLASSES: usize = 4;

pub(crate) fn checks() -> Vec<Check> {
    vec![Check::new("inference/runner", TOLERANCE, numbers)]
}

fn numbers(place: &Place) -> Numbers {
    let image = MapShape::new(3, 16, 16);
    let config = NetConfig::default();
    let net = config.init(CLASSES, image, &mut place.init(3));
    let net = place
        .module(net.expect("the default network is one"))
        .valid();
    let macs = net.exit_costs(image).into_iter().map(|cost| cost.macs);
    let macs: Vec<u64> = macs.collect();
    let mut thresholds = vec![0.5; macs.len()];
    thresholds[macs.len() - 1] = 0.0;
    let policy = AnyPolicy::with_thresholds(Criterion::Confidence, thresholds);
    let policy = policy.expect("thresholds are numbers");
    let runner = Runner::new(net, policy, macs).expect("the policy is for this network");
    let answers = runner.run(place.wave(8, [12, 3, 16, 16]) * 3.0);
    let answers = answers.expect("the logits are finite");
    let each = |f: fn(&offramp_policies::Answer) -> f64| answers.iter().map(f).collect();
    vec![
        ("exit".into(), each(|answer| answer.exit as f64)),
        ("class".into(), each(|answer| answer.class as f64)),
        (
            "logits".into(),
            (answers.iter())
                .flat_map(|answer| answer.logits.iter().map(|&z| f64::from(z)))
                .collect(),
        ),
    ]
}
