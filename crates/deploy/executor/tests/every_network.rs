//! Every backbone and every head that is registered, whole and segment by segment, against the
//! graph's interpreter.

mod support;

use offramp_core::{MapShape, default_device};
use offramp_executor::{Executor, MultiExitExecutor, MultiExitPlan, Options, Plan};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_nn::Init;
use serde_json::json;
use support::{Example, near, run};

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 16,
    width: 16,
};

/// Threads that meet after each step are slow where others need the processors too.
const ALONE: Options = Options {
    threads: 1,
    winograd: true,
};

#[track_caller]
fn check(config: serde_json::Value) {
    check_at(config, IMAGE);
}

#[track_caller]
fn check_at(config: serde_json::Value, image: MapShape) {
    let what = config.to_string();
    let config: NetConfig = serde_json::from_value(config).unwrap();
    let mut init = Init::new(3, &default_device().unwrap());
    let net: MultiExitNet = config.init(7, image, &mut init).unwrap();
    let graph = net.graph(image).unwrap();
    let example = Example::new(&graph, 2, 11);
    let plan = Plan::compile(&graph, 2, ALONE).unwrap();
    let outputs = run(&mut Executor::new(plan), &example, 2, 2);
    for (exit, (found, expected)) in outputs.iter().zip(&example.outputs).enumerate() {
        near(found, expected, 1e-5, &format!("{what}, exit {exit}"));
    }
    let graphs = net.segment_graphs(image).unwrap();
    let last = graphs.len() - 1;
    let plan = MultiExitPlan::compile(&graphs, 2, ALONE).unwrap();
    let mut executor = MultiExitExecutor::new(plan);
    for exit in 0..=last {
        let answers = executor
            .run(2, &example.inputs[0], |k, sample, _| {
                sample == 0 && k == exit
            })
            .unwrap();
        assert_eq!(answers.exits, [exit, last], "{what}");
        let expected = [&example.outputs[exit][..7], &example.outputs[last][7..]].concat();
        near(answers.logits, &expected, 1e-5, &format!("{what}, staged"));
    }
}

#[test]
fn every_backbone() {
    for entry in offramp_backbones::registry() {
        let stages = (entry.config)().stages();
        let least = stages.iter().map(|stage| stage.reduction).max().unwrap();
        let image = MapShape {
            height: IMAGE.height.max(least),
            width: IMAGE.width.max(least),
            ..IMAGE
        };
        check_at(json!({"backbone": entry.name}), image);
    }
}

#[test]
fn every_head() {
    for head in offramp_heads::registry() {
        for backbone in ["resnet8", "resnet18"] {
            check(json!({"backbone": backbone, "head": head.name}));
        }
    }
}

#[test]
fn every_cascade() {
    for entry in offramp_heads::cascades() {
        check(json!({"backbone": "resnet8", "cascade": entry.name}));
    }
    check(json!({"backbone": {"name": "resnet8", "shortcut": "A"}}));
}
