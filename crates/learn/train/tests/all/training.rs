//! Whole runs of a tiny network on generated images.

use std::fs;

use crate::support::*;
use offramp_core::default_device;
use offramp_train::TrainError;
use offramp_train::checkpoint;

#[test]
fn a_run_leaves_model_metrics_and_score() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("run");
    let outcome = run(&recipe("mate", &[]), &out, false, None)
        .unwrap()
        .outcome
        .unwrap();
    for file in [
        "recipe.toml",
        "metrics.jsonl",
        "log.txt",
        "model.json",
        "eval.json",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }
    let eval: serde_json::Value = json(&out.join("eval.json"));
    assert_eq!(eval["split"], "test");
    assert_eq!(eval["samples"], 20);
    assert_eq!(eval["exits"].as_array().unwrap().len(), 3);
    assert_eq!(serde_json::to_value(&outcome.test).unwrap(), eval);

    let lines = metrics(&out);
    let kinds = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((kinds("epoch"), kinds("eval"), kinds("final")), (3, 3, 1));
    assert_eq!(kinds("step"), STEPS as usize / 2);
    let step = lines.iter().find(|line| line["kind"] == "step").unwrap();
    for term in ["ce/0", "ce/2", "kd/1", "teacher/0"] {
        assert!(step["terms"][term].is_number(), "{term} in {step}");
    }
    assert!(step["scalars"]["teacher/0/0"].is_number(), "{step}");
    assert_eq!(step["train_top1"].as_array().unwrap().len(), 3);
    // The model of the folder is the model of the report.
    let (net, _) = offramp_heads::load_model(&out, &default_device().unwrap()).unwrap();
    assert_eq!(evaluate(&net, 1), evaluate(&net, 2));
    assert_eq!(evaluate(&net, 0).exits, outcome.test.exits);
}

#[test]
fn an_interrupted_run_ends_with_the_same_weights_bit_for_bit() {
    let parent = tempfile::tempdir().unwrap();
    // Momentum, moving average, clipping, running statistics, teachers, warm-up: all have state.
    let settings = [
        "train.ema={ decay = 0.9 }",
        "train.clip-norm=1.0",
        "train.warmup-epochs=1",
    ];
    let recipe = recipe("mate", &settings);
    let whole = parent.path().join("whole");
    run(&recipe, &whole, false, None).unwrap();
    // Before the first checkpoint, at one, after one, at the end of an epoch, just before the end.
    for stop in [1, 3, 4, 5, 8, STEPS - 1] {
        let out = parent.path().join(format!("stopped-{stop}"));
        let report = run(&recipe, &out, false, Some(stop)).unwrap();
        assert_eq!((report.steps, report.outcome), (stop, None));
        run(&recipe, &out, true, None).unwrap();
        assert_same_run(&whole, &out);
    }
    // Interrupted again and again.
    let out = parent.path().join("often");
    for stop in 1..=STEPS {
        run(&recipe, &out, stop > 1, Some(stop)).unwrap();
    }
    run(&recipe, &out, true, None).unwrap();
    assert_same_run(&whole, &out);
}

#[test]
fn every_method_and_optimiser_resumes_exactly() {
    let parent = tempfile::tempdir().unwrap();
    let adamw = ["train.optimizer={ name = \"adamw\", lr = 0.01 }"];
    let phuong = [
        "data.labelled-fraction=0.5",
        "train.interleave={ labelled = 1, unlabelled = 1 }",
    ];
    for (method, settings) in [("plain", &adamw[..]), ("phuong-lampert", &phuong[..])] {
        let recipe = recipe(method, settings);
        let (whole, out) = (
            parent.path().join(method),
            parent.path().join(format!("{method}-2")),
        );
        run(&recipe, &whole, false, None).unwrap();
        run(&recipe, &out, false, Some(5)).unwrap();
        run(&recipe, &out, true, None).unwrap();
        assert_same_run(&whole, &out);
    }
}

#[test]
fn workers_change_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let (one, two) = (parent.path().join("1"), parent.path().join("2"));
    run(&recipe("plain", &["train.workers=1"]), &one, false, None).unwrap();
    run(&recipe("plain", &["train.workers=3"]), &two, false, None).unwrap();
    let weights = |out: &std::path::Path| fs::read(out.join("model.safetensors")).unwrap();
    assert!(weights(&one) == weights(&two));
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint() {
    let parent = tempfile::tempdir().unwrap();
    // Slowly and at once: the weights may be spoiled before or after a checkpoint is due.
    for (lr, every) in [(1e3, 1), (1e3, 2), (1e18, 1), (1e18, 2), (1e38, 1)] {
        let out = parent.path().join(format!("{lr:e}-{every}"));
        let settings = [
            format!("train.optimizer.lr={lr:e}"),
            format!("train.checkpoint.every-steps={every}"),
            "train.epochs=30".to_owned(),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let error = match run(&recipe("plain", &settings), &out, false, None) {
            Err(error) => error,
            // Batch norm forgives large weights.
            Ok(_) => continue,
        };
        let TrainError::NotFinite {
            step,
            term,
            checkpoint: good,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert!(
            !term.is_empty() && error.to_string().contains(&format!("step {step}")),
            "{error}"
        );
        let newest = out
            .join("checkpoints")
            .read_dir()
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .max();
        assert_eq!(*good, newest, "{error}");
        if let Some(good) = good {
            let good = checkpoint::read(good).unwrap();
            assert!(good.position.step <= *step, "{error}");
            let finite = |data: &burn::tensor::TensorData| data.iter::<f32>().all(f32::is_finite);
            assert!(good.net.values().all(finite), "{error}");
        }
        assert!(!out.join("model.safetensors").exists());
    }
    assert!(!parent.path().join("1e38-1/model.safetensors").exists());
}

#[test]
fn a_damaged_checkpoint_stops_the_resume_until_it_is_deleted() {
    let parent = tempfile::tempdir().unwrap();
    let (whole, out) = (parent.path().join("whole"), parent.path().join("run"));
    let recipe = recipe("plain", &[]);
    run(&recipe, &whole, false, None).unwrap();
    run(&recipe, &out, false, Some(7)).unwrap();
    let newest = out.join("checkpoints/step-00000006.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&newest, bytes).unwrap();
    let error = run(&recipe, &out, true, None).unwrap_err().to_string();
    assert!(
        error.contains("step-00000006") && error.contains("SHA-256"),
        "{error}"
    );
    assert!(error.contains("step-00000004"), "{error}");
    fs::remove_file(&newest).unwrap();
    run(&recipe, &out, true, None).unwrap();
    assert_same_run(&whole, &out);
}

#[test]
fn resuming_with_another_recipe_or_other_data_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("run");
    run(&recipe("plain", &[]), &out, false, Some(3)).unwrap();
    let other = recipe("plain", &["train.optimizer.lr=0.01"]);
    let error = run(&other, &out, true, None).unwrap_err().to_string();
    assert!(
        error.contains("`train.optimizer.lr`") && error.contains("0.01"),
        "{error}"
    );
    let error = run(&recipe("plain", &[]), &out, false, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("--resume"), "{error}");
}

#[test]
fn missing_data_leave_nothing_in_the_way_of_the_next_try() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("run");
    let missing = recipe("plain", &["data.dataset=folder", "data.dir=no/such/folder"]);
    let error = run(&missing, &out, false, None).unwrap_err().to_string();
    assert!(error.contains("no/such/folder"), "{error}");
    run(&recipe("plain", &[]), &out, false, Some(1)).unwrap();
    // Data that changed under a run are noticed before anything is written.
    run(&recipe("plain", &[]), &out, true, Some(5)).unwrap();
    let before = fs::read(out.join("metrics.jsonl")).unwrap();
    let text = fs::read_to_string(out.join("recipe.toml")).unwrap();
    fs::write(
        out.join("recipe.toml"),
        text.replace("train = 60", "train = 90"),
    )
    .unwrap();
    let grown = recipe("plain", &["data.generated.train=90"]);
    let error = run(&grown, &out, true, None).unwrap_err().to_string();
    assert!(
        error.contains("4 steps") && error.contains("6 now"),
        "{error}"
    );
    assert_eq!(fs::read(out.join("metrics.jsonl")).unwrap(), before);
}

#[test]
fn early_stopping_needs_validation_rows() {
    let parent = tempfile::tempdir().unwrap();
    let recipe = recipe("plain", &["data.val-fraction=0.0", "train.patience=1"]);
    let error = run(&recipe, &parent.path().join("run"), false, None).unwrap_err();
    assert!(error.to_string().contains("data.val-fraction"), "{error}");
}

#[test]
fn the_best_by_validation_is_kept_and_test_rows_never_choose() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("run");
    let settings = [
        "train.checkpoint.keep-last=1",
        "train.epochs=6",
        "train.patience=2",
    ];
    let outcome = run(&recipe("plain", &settings), &out, false, None)
        .unwrap()
        .outcome
        .unwrap();
    let evals: Vec<_> = metrics(&out)
        .into_iter()
        .filter(|line| line["kind"] == "eval")
        .collect();
    let deepest = |line: &serde_json::Value| line["exits"][2]["top1"].as_f64().unwrap();
    let best = evals.iter().rfind(|line| line["best"] == true).unwrap();
    let highest = evals.iter().map(deepest).fold(0.0, f64::max);
    assert_eq!(deepest(best), highest);
    assert_eq!(best["step"], outcome.model_step);
    assert_eq!(outcome.val.unwrap().exits[2].top1, highest);
    assert_eq!(outcome.stopped_early, evals.len() < 6);

    let settings = ["data.val-fraction=0.0"];
    let out = parent.path().join("no-val");
    let outcome = run(&recipe("plain", &settings), &out, false, None)
        .unwrap()
        .outcome
        .unwrap();
    assert_eq!(outcome.val, None);
    let last = metrics(&out)
        .into_iter()
        .rfind(|line| line["kind"] == "epoch");
    assert_eq!(last.unwrap()["step"], outcome.model_step);
}
