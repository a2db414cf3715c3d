//! The compiled engine and burn's behind one trait: both answer as the simulator says, whole batches and
//! images that come at any time, and both say how long one pass takes to each exit.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use offramp_core::{MapShape, default_device};
use offramp_executor::{CompiledEngine, MultiExitPlan, Options};
use offramp_heads::MultiExitNet;
use offramp_infer::BurnEngine;
use offramp_policies::{AnyPolicy, Criterion, Readout, Rule};
use offramp_run::{Engine, ExitTimes, Repeats, rules_at_exits};
use support::*;

const PIXELS: usize = 3 * 16 * 16;
const BATCH: usize = 4;

/// Winograd's filtering rounds differently.
const TOLERANCE: f32 = 1e-4;

fn engines(net: &MultiExitNet) -> [(&'static str, Box<dyn Engine>); 2] {
    let device = default_device().unwrap();
    let image = [3, 16, 16];
    let burn = BurnEngine::new(net.clone(), MACS.to_vec(), image, CLASSES, BATCH, &device);
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    let graphs = net.segment_graphs(MapShape::new(3, 16, 16)).unwrap();
    let plan = MultiExitPlan::compile(&graphs, BATCH, options).unwrap();
    let compiled = CompiledEngine::new(plan, MACS.to_vec()).unwrap();
    [
        ("burn", Box::new(burn.unwrap())),
        ("compiled", Box::new(compiled)),
    ]
}

fn values(x: &Tensor<4>) -> Vec<f32> {
    x.clone().into_data().iter::<f32>().collect()
}

fn threshold(confidence: f64) -> Arc<Rule> {
    let thresholds = vec![confidence, confidence, 0.0];
    let policy = AnyPolicy::with_thresholds(Criterion::Confidence, thresholds).unwrap();
    Arc::new(Rule::from(policy))
}

#[test]
fn batches_are_answered_as_the_simulator_says() {
    let net = net(3);
    for (name, mut engine) in engines(&net) {
        for count in [0, 1, 3, 9] {
            let x = images(count.max(1), 4);
            let rule = threshold(0.4);
            let answers = engine.answer(&values(&x)[..count * PIXELS], count, &rule);
            let answers = answers.unwrap_or_else(|error| panic!("{name}, {count}: {error}"));
            let x = x.slice_dim(0, 0..count);
            let expected = simulate(&net, &rule.policy, &rule.readout, x);
            assert_eq!(answers.len(), count, "{name}");
            for (answer, expected) in answers.iter().zip(&expected) {
                assert_near(answer, expected, TOLERANCE);
            }
        }
    }
}

#[test]
fn images_that_come_at_any_time_keep_their_rules() {
    let net = net(5);
    let x = images(7, 6);
    let pixels = values(&x);
    let rules = [threshold(0.2), threshold(0.9)];
    for (name, mut engine) in engines(&net) {
        let mut answers = BTreeMap::new();
        for (i, image) in pixels.chunks(PIXELS).enumerate() {
            while engine.room() == 0 {
                answers.extend(engine.step().unwrap());
            }
            let ticket = engine.admit(image, &rules[i % 2]).unwrap();
            assert_eq!(ticket, i as u64, "{name}");
        }
        while engine.pending() > 0 {
            answers.extend(engine.step().unwrap());
        }
        assert!(engine.step().unwrap().is_empty());
        assert_eq!(answers.len(), 7, "{name}");
        for (place, rule) in rules.iter().enumerate() {
            let expected = simulate(&net, &rule.policy, &rule.readout, x.clone());
            for i in (place..7).step_by(2) {
                assert_near(&answers[&(i as u64)], &expected[i], TOLERANCE);
            }
        }
    }
}

#[test]
fn one_pass_is_timed_to_every_exit() {
    let net = net(7);
    let pixels = values(&images(2, 8));
    let rules = rules_at_exits(EXITS, &Readout::default()).unwrap();
    for (name, mut engine) in engines(&net) {
        let times = engine.time_to_exits(&pixels, 2, &rules).unwrap();
        assert_eq!(times.len(), EXITS, "{name}");
        assert!(times[0] > 0.0 && times.is_sorted(), "{name}: {times:?}");
        let repeats = Repeats {
            warm_up: 1,
            runs: 5,
            patience: None,
        };
        let times = ExitTimes::measure(engine.as_mut(), &pixels, 2, &rules, repeats).unwrap();
        assert_eq!(times.exits()[0].summary(2).runs, 5);
        assert!(times.median().is_sorted(), "{name}: {times:?}");
    }
}

#[test]
fn what_is_for_another_network_is_refused() {
    let net = net(9);
    let other = AnyPolicy::with_thresholds(Criterion::Confidence, vec![0.5, 0.0]).unwrap();
    let other = Arc::new(Rule::from(other));
    for (name, mut engine) in engines(&net) {
        let image = vec![0.0; PIXELS];
        assert!(engine.admit(&image, &other).is_err(), "{name}");
        assert!(engine.answer(&image, 1, &other).is_err(), "{name}");
        assert!(
            engine.admit(&image[1..], &threshold(0.5)).is_err(),
            "{name}"
        );
        for _ in 0..BATCH {
            engine.admit(&image, &threshold(0.5)).unwrap();
        }
        assert_eq!(engine.room(), 0, "{name}");
        assert!(engine.admit(&image, &threshold(0.5)).is_err(), "{name}");
    }
}
