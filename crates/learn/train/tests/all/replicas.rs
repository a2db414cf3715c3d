//! Data-parallel training on logical devices, threads of one processor.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::*;
use offramp_core::DeviceSpec;
use offramp_train::{TrainError, checkpoint};

/// Parameters after some steps, without what batch norm remembers, and the loss of each step.
fn trained(out: &Path, settings: &[&str]) -> (BTreeMap<String, Vec<f32>>, Vec<f64>) {
    let common = ["train.log-every=1", "train.clip-norm=5.0"];
    let recipe = recipe("mate", &[&common, settings].concat());
    run(&recipe, out, false, Some(4)).unwrap();
    let folder = out.join("checkpoints").read_dir().unwrap();
    let newest = folder.flatten().map(|entry| entry.path()).max().unwrap();
    let net = checkpoint::read(&newest).unwrap().net;
    let learned = net.iter().filter(|(name, _)| !name.contains("running_"));
    let learned = learned.map(|(name, data)| (name.clone(), data.iter::<f32>().collect()));
    let steps = metrics(out)
        .into_iter()
        .filter(|line| line["kind"] == "step");
    let losses = steps.map(|line| line["loss"].as_f64().unwrap()).collect();
    (learned.collect(), losses)
}

#[track_caller]
fn assert_near(
    a: &(BTreeMap<String, Vec<f32>>, Vec<f64>),
    b: &(BTreeMap<String, Vec<f32>>, Vec<f64>),
) {
    assert_eq!(a.1.len(), 4);
    for (a, b) in a.1.iter().zip(&b.1) {
        assert!((a - b).abs() <= 1e-4 * a.abs(), "losses {a} {b}");
    }
    for ((name, a), (other, b)) in a.0.iter().zip(&b.0) {
        assert_eq!(name, other);
        let size = a.iter().fold(1e-3f32, |most, x| x.abs().max(most));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-3 * size, "{name}: {a} {b}");
        }
    }
}

/// Both take the statistics of batch norm from half of a batch.
#[test]
fn two_replicas_learn_what_two_parts_teach() {
    let parent = tempfile::tempdir().unwrap();
    let parts = trained(&parent.path().join("parts"), &["train.accumulate=2"]);
    let replicas = trained(&parent.path().join("replicas"), &["train.replicas=2"]);
    assert_near(&replicas, &parts);
    // It differs from the result of the whole batch: the test would notice batch norm over all parts.
    let whole = trained(&parent.path().join("whole"), &[]);
    assert!((whole.1[0] - parts.1[0]).abs() > 1e-3 * whole.1[0]);
}

#[test]
fn with_batch_norm_synchronised_they_learn_what_the_whole_batch_teaches() {
    if DeviceSpec::from_env().unwrap().best() != DeviceSpec::Cpu {
        println!("left out: means over replicas have gradients on CUDA and on cpu alone");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let whole = trained(&parent.path().join("whole"), &[]);
    // 12 images: 5, 5 and 2 would not do; 4 each, and with 5 replicas 2 or 3.
    for replicas in [3, 5] {
        let count = format!("train.replicas={replicas}");
        let settings = [count.as_str(), "train.sync-batch-norm=true"];
        let together = trained(&parent.path().join(&count), &settings);
        assert_near(&together, &whole);
    }
}

#[test]
fn an_interrupted_run_of_replicas_goes_on_bit_for_bit() {
    let parent = tempfile::tempdir().unwrap();
    let recipe = recipe(
        "mate",
        &[
            "train.replicas=2",
            "train.ema={ decay = 0.9 }",
            "train.accumulate=2",
        ],
    );
    let (whole, out) = (parent.path().join("whole"), parent.path().join("stopped"));
    run(&recipe, &whole, false, None).unwrap();
    run(&recipe, &out, false, Some(5)).unwrap();
    run(&recipe, &out, true, None).unwrap();
    assert_same_run(&whole, &out);
}

#[test]
fn what_cannot_be_divided_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let train = |name: &str, method: &str, settings: &[&str]| {
        let recipe = recipe(method, &[&["train.replicas=4"], settings].concat());
        run(&recipe, &parent.path().join(name), false, Some(1)).unwrap_err()
    };
    let error = train("look_ahead", "l2w-den", &[]);
    assert!(matches!(error, TrainError::NotParallel { .. }), "{error}");
    // 48 rows in batches of 15: the last has 3.
    let settings = ["train.batch-size=15", "train.drop-last=false"];
    let recipe = recipe("plain", &[&["train.replicas=4"], &settings[..]].concat());
    let error = run(&recipe, &parent.path().join("few"), false, None).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("3 images for 4 replicas") && text.contains("drop-last"),
        "{text}"
    );
}
