//! DML, ONE and OKDDip on real networks: exits of different depths, branches, and the networks that
//! the distiller `dml` trains.

use crate::batches::wave;
use crate::support::{END, device, method, network, parameter_gradients, targets, values};
use burn::module::Module;
use offramp_heads::NetConfig;
use offramp_methods::distill::{AnyDistiller, distillers};
use offramp_methods::{AnyMethod, Method, NetworkInfo};
use offramp_nn::Init;
use serde_json::json;

const N: usize = 3;
const CLASSES: usize = 5;

/// With exits at different depths, the gate uses the map of the first.
#[test]
fn early_exits_of_different_depths_and_widths() {
    let config = |json| serde_json::from_value::<NetConfig>(json).unwrap();
    for (net, channels) in [
        (json!({"backbone": "resnet8"}), 16),
        (json!({"backbone": "resnet8", "exits": [1, 2]}), 32),
        (
            json!({"backbone": "resnet8", "head": "branch", "exits": [1, 1, 1]}),
            32,
        ),
    ] {
        let net = config(net);
        let net = net
            .init(CLASSES, crate::setup::IMAGE, &mut Init::new(1, &device()))
            .unwrap();
        for name in ["one", "okddip", "dml"] {
            let mut method = method(&format!("name = \"{name}\""), &NetworkInfo::from(&net));
            if let AnyMethod::One(one) = &method {
                assert_eq!(one.teacher.fc.inputs(), channels);
            }
            let outputs = net.forward(wave(1, [N, 3, 8, 8], 1.0));
            let terms = method.losses(&outputs, &targets(&[1, 0, 3]), &END);
            let last = net.num_exits() - 1;
            let kd = terms
                .get(&format!("kd/{last}"))
                .expect("the last exit is taught");
            let gradients = parameter_gradients(&net, &kd.value.clone().backward());
            let fc = &gradients[&format!("heads.{last}.fc.weight")];
            assert!(fc.iter().any(|g| *g != 0.0), "{name}");
            method.after_step(&outputs);
            let sum: f64 = method.scalars().iter().map(|(_, value)| value).sum();
            assert!(
                (sum - sum.round()).abs() < 1e-5 && sum > 0.5,
                "{name}: {sum}"
            );
        }
    }
}

/// The distiller's terms of a cohort are the method's of exits with the same logits.
#[test]
fn the_distiller_is_the_method_on_networks() {
    let entry = distillers()
        .iter()
        .find(|entry| entry.name == "dml")
        .unwrap();
    let setup = crate::setup::Setup::new("resnet8", "resnet8");
    for exit in [0, 2] {
        let AnyDistiller::Dml(dml) = setup.distiller(entry, exit) else {
            panic!("dml is called Dml");
        };
        let [peer] = dml.peers() else {
            panic!("one peer by default");
        };
        assert_eq!((peer.num_exits(), peer.exit_stages()), (1, &[exit][..]));
        let answer = peer.forward(setup.batch.images.clone()).exits.remove(0);
        let cohort = vec![setup.batch.student.exits[exit].clone(), answer];
        let dml = AnyDistiller::Dml(dml);
        let terms = crate::setup::terms(&dml, entry, &setup.batch, exit);
        let classes = setup.student.classes();
        let method = method("name = \"dml\"", &network(2, classes, 6));
        let expected = method.losses(&cohort.into(), &setup.batch.targets, &END);
        for (name, twin) in [("", "kd/0"), ("peer-kd", "kd/1"), ("peer-ce", "ce/1")] {
            let [found, expected] = [(&terms, name), (&expected, twin)]
                .map(|(terms, name)| values(terms.get(name).unwrap().value.clone())[0]);
            assert!(
                (found - expected).abs() < 1e-5,
                "{name}: {found} {expected}"
            );
        }
    }
}

/// Peers are in training, learn from their own terms alone, and leave the student to its own.
#[test]
fn teachers_get_no_gradient_from_what_they_teach() {
    let entry = distillers()
        .iter()
        .find(|entry| entry.name == "dml")
        .unwrap();
    let setup = crate::setup::Setup::new("resnet8", "resnet8");
    let distiller = setup.distiller(entry, 2);
    let moved = |name: &str| {
        let terms = crate::setup::terms(&distiller, entry, &setup.batch, 2);
        let gradients = terms.get(name).unwrap().value.clone().backward();
        // A zero is as good as nothing: all logits stand in one tensor.
        let nonzero = |gradient: &Vec<f32>| gradient.iter().any(|g| *g != 0.0);
        let peers = parameter_gradients(&distiller, &gradients)
            .values()
            .any(nonzero);
        let student = setup.batch.student.exits[2].logits.grad(&gradients);
        let student = student.is_some_and(|gradient| nonzero(&values(gradient)));
        (student, peers)
    };
    assert_eq!(moved(""), (true, false));
    assert_eq!(moved("peer-kd"), (false, true));
    assert_eq!(moved("peer-ce"), (false, true));
    let AnyDistiller::Dml(dml) = &distiller else {
        panic!("dml is called Dml");
    };
    let statistics = |name: &str| {
        let tensors = offramp_core::params::collect(&dml.peers()[0]);
        tensors[name].iter::<f32>().collect::<Vec<_>>()
    };
    assert!(
        statistics("backbone.bn1.running_mean")
            .iter()
            .any(|mean| *mean != 0.0)
    );
    assert!(dml.peers()[0].num_params() > 0);
}
