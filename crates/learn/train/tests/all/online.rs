//! Whole runs of what learns together: branches of one network, and networks beside the student.

use std::path::Path;

use crate::support::*;
use burn::tensor::Tensor;
use offramp_core::params::collect;
use offramp_heads::load_model;
use offramp_train::checkpoint::{self, Checkpoint};

const BRANCHES: [&str; 2] = ["model.head=branch", "model.exits=[1, 1, 1]"];

fn last_checkpoint(out: &Path) -> Checkpoint {
    let folder = out.join("checkpoints").read_dir().unwrap();
    let mut paths: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    checkpoint::read(paths.last().unwrap()).unwrap()
}

#[test]
fn branches_train_log_and_resume_exactly() {
    let parent = tempfile::tempdir().unwrap();
    for (method, logged) in [("one", 3), ("okddip", 6), ("dml", 9)] {
        let recipe = recipe(method, &BRANCHES);
        let whole = parent.path().join(format!("{method}-whole"));
        run(&recipe, &whole, false, None).unwrap();
        let lines = metrics(&whole);
        let epoch = lines.iter().rfind(|line| line["kind"] == "epoch").unwrap();
        let terms = epoch["terms"].as_object().unwrap();
        for term in ["ce/0", "ce/2", "kd/0", "kd/2"] {
            assert!(terms.contains_key(term), "{method}: {epoch}");
        }
        let weights = epoch["scalars"].as_object().unwrap();
        assert_eq!(weights.len(), logged, "{method}: {epoch}");
        let parts = parent.path().join(format!("{method}-parts"));
        run(&recipe, &parts, false, Some(5)).unwrap();
        run(&recipe, &parts, true, None).unwrap();
        assert_same_run(&whole, &parts);
    }
    let one = last_checkpoint(&parent.path().join("one-whole"));
    let gate = &one.method["method.teacher.bn.running_mean"];
    assert!(gate.iter::<f32>().any(|mean| mean != 0.0));
}

/// The first branch where there is one, the second where there are two.
#[test]
fn branches_begin_with_those_of_another_run() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    run(&recipe("one", &BRANCHES), &first, false, None).unwrap();
    let from = format!("model.init-from={:?}", first.to_str().unwrap());
    let still = ["train.optimizer.lr=1e-30", "train.optimizer.weight-decay=0"];
    let frozen = "model.freeze-backbone=true";
    let settings = ["model.head=branch", "model.exits=[1, 1]", &from, frozen];
    let settings = [&settings[..], &still].concat();
    run(&recipe("plain", &settings), &second, false, None).unwrap();
    let device = offramp_core::default_device().unwrap();
    let nets = [&first, &second].map(|run| load_model(run, &device).unwrap().0);
    let images = Tensor::<4>::ones([1, 3, 32, 32], &device);
    let [theirs, ours] = nets.each_ref().map(collect);
    for (name, data) in &ours {
        // The branches' batch norms go on counting.
        if !name.contains("running_") || name.starts_with("backbone.") {
            assert!(*data == theirs[name], "{name}");
        }
    }
    assert_eq!(nets[1].forward(images).len(), 2);
}

#[test]
fn peers_are_kept_with_their_statistics_and_are_no_part_of_the_model() {
    let parent = tempfile::tempdir().unwrap();
    let settings = [
        "distill.ext.loss={ name = \"dml\", peers = 2 }",
        "distill.ext.exits=[1]",
        "train.ema={ decay = 0.9 }",
        "train.clip-norm=1.0",
    ];
    let recipe = recipe("plain", &settings);
    let [whole, parts] = ["whole", "parts"].map(|name| parent.path().join(name));
    run(&recipe, &whole, false, None).unwrap();
    run(&recipe, &parts, false, Some(7)).unwrap();
    run(&recipe, &parts, true, None).unwrap();
    assert_same_run(&whole, &parts);

    let end = last_checkpoint(&whole);
    let peer = |n: usize, tensor: &str| {
        let name = format!("distill.tables.0.instances.0.distiller.peers.{n}.{tensor}");
        end.method[&name].iter::<f32>().collect::<Vec<_>>()
    };
    for tensor in [
        "backbone.bn1.running_mean",
        "backbone.layer2.0.bn2.running_var",
        "backbone.layer1.0.conv1.weight",
        "heads.0.fc.weight",
    ] {
        assert_ne!(peer(0, tensor), peer(1, tensor), "{tensor}");
    }
    assert!(
        peer(0, "backbone.bn1.running_mean")
            .iter()
            .all(|mean| *mean != 0.0)
    );
    assert!(
        !end.method.keys().any(|name| name.contains("layer3")),
        "cut to exit 1"
    );
    let slot = "distill/tables.0.instances.0.distiller.peers.1.heads.0.fc.weight/momentum";
    assert!(
        end.optimizer.contains_key(slot),
        "{:?}",
        end.optimizer.keys()
    );
    assert!(end.ema.keys().all(|name| !name.contains("peers")));
    let device = offramp_core::default_device().unwrap();
    let (net, _) = load_model(&whole, &device).unwrap();
    assert!(collect(&net).keys().all(|name| !name.contains("peers")));
    let lines = metrics(&whole);
    let step = lines.iter().find(|line| line["kind"] == "step").unwrap();
    let terms: Vec<&String> = step["terms"].as_object().unwrap().keys().collect();
    let expected = [
        "ce/0",
        "ce/1",
        "ce/2",
        "ext-peer-ce/1",
        "ext-peer-kd/1",
        "ext/1",
    ];
    assert_eq!(terms, expected);
}

#[test]
fn teachers_for_peers_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = parent.path().join("teacher");
    run(&recipe("plain", &["train.epochs=1"]), &teacher, false, None).unwrap();
    let run_folder = format!("teachers.t.run={:?}", teacher.to_str().unwrap());
    let settings = [
        "distill.ext.loss=dml",
        "distill.ext.teachers=[\"t\"]",
        &run_folder,
    ];
    let out = parent.path().join("student");
    let error = run(&recipe("plain", &settings), &out, false, None).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"dml\" trains networks of its own"),
        "{error}"
    );
}
