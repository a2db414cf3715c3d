//! Whole runs that save memory: batches in parts, blocks computed twice.

#[path = "all/support/mod.rs"]
mod support;

use std::path::Path;

use offramp_train::TrainError;
use serde_json::Value;
use support::*;

fn losses(out: &Path) -> Vec<f64> {
    let lines = metrics(out).into_iter();
    let steps = lines.filter(|line: &Value| line["kind"] == "step");
    steps.map(|line| line["loss"].as_f64().unwrap()).collect()
}

#[test]
fn blocks_computed_twice_change_the_last_digits_alone() {
    let parent = tempfile::tempdir().unwrap();
    let (whole, blocks) = (parent.path().join("whole"), parent.path().join("blocks"));
    let settings = ["train.log-every=1", "train.optimizer.lr=0.01"];
    run(&recipe("mate", &settings), &whole, false, None).unwrap();
    // The run that is stopped for want of memory goes on with less.
    run(&recipe("mate", &settings), &blocks, false, Some(4)).unwrap();
    let less = ["train.checkpointing=blocks"];
    let less: Vec<&str> = settings.iter().chain(&less).copied().collect();
    run(&recipe("mate", &less), &blocks, true, None).unwrap();
    let (found, expected) = (losses(&blocks), losses(&whole));
    assert_eq!(found.len(), STEPS as usize);
    assert_eq!(found[..5], expected[..5]);
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            (found - expected).abs() < 1e-3 * expected.abs(),
            "{found} {expected}"
        );
    }
}

#[test]
fn a_run_in_parts_resumes_exactly() {
    let parent = tempfile::tempdir().unwrap();
    let settings = [
        "train.accumulate=5",
        "train.checkpointing=blocks",
        "train.ema={ decay = 0.9 }",
        "train.clip-norm=1.0",
    ];
    let recipe = recipe("mate", &settings);
    let (whole, out) = (parent.path().join("whole"), parent.path().join("stopped"));
    run(&recipe, &whole, false, None).unwrap();
    run(&recipe, &out, false, Some(5)).unwrap();
    run(&recipe, &out, true, None).unwrap();
    assert_same_run(&whole, &out);
    let line = metrics(&whole)
        .into_iter()
        .find(|line| line["kind"] == "epoch")
        .unwrap();
    assert!(line["terms"]["kd/1"].is_number(), "{line}");
    assert!(line["train_top1"][0].as_f64().unwrap() <= 100.0, "{line}");
}

#[test]
fn rows_without_labels_in_parts() {
    let parent = tempfile::tempdir().unwrap();
    let settings = [
        "data.labelled-fraction=0.5",
        "train.interleave={ labelled = 1, unlabelled = 1 }",
        "train.accumulate=6",
    ];
    run(
        &recipe("phuong-lampert", &settings),
        &parent.path().join("run"),
        false,
        None,
    )
    .unwrap();
}

#[test]
fn a_method_that_looks_ahead_needs_the_whole_batch() {
    let parent = tempfile::tempdir().unwrap();
    let recipe = recipe("l2w-den", &["train.accumulate=2"]);
    let error = run(&recipe, &parent.path().join("run"), false, None).unwrap_err();
    assert!(
        matches!(error, TrainError::LookAheadInParts { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("l2w-den"), "{error}");
}
