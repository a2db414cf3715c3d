//! Whole runs in bfloat16 and float16.

use std::path::Path;

use crate::support::*;
use offramp_core::{DeviceSpec, Precision};
use offramp_methods::registry;
use offramp_train::checkpoint::{self, Checkpoint};
use offramp_train::{Recipe, TrainError};
use serde_json::Value;

/// Those of the narrow types that the device of the tests computes in.
fn narrow() -> Vec<Precision> {
    let spec = DeviceSpec::from_env().unwrap().best();
    let device = spec.device().unwrap();
    let has = |precision: &Precision| precision.check(spec, &device).is_ok();
    [Precision::Bf16, Precision::Fp16]
        .into_iter()
        .filter(has)
        .collect()
}

fn within(method: &str, precision: Precision, settings: &[&str]) -> Recipe {
    let precision = format!("train.precision={precision}");
    let settings: Vec<&str> = [precision.as_str()]
        .iter()
        .chain(settings)
        .copied()
        .collect();
    recipe(method, &settings)
}

fn newest(out: &Path) -> Checkpoint {
    let folder = out.join("checkpoints").read_dir().unwrap();
    let mut paths: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    checkpoint::read(paths.last().unwrap()).unwrap()
}

fn steps(out: &Path) -> Vec<Value> {
    let lines = metrics(out).into_iter();
    lines.filter(|line| line["kind"] == "step").collect()
}

/// Losses of single steps differ from those of float32 by what eight bits of mantissa make of twelve steps.
#[test]
fn a_run_follows_that_in_float32() {
    let parent = tempfile::tempdir().unwrap();
    let wide = parent.path().join("f32");
    let log = ["train.log-every=1", "train.optimizer.lr=0.02"];
    run(&recipe("mate", &log), &wide, false, None).unwrap();
    let losses = |out: &Path| -> Vec<f64> {
        let steps = steps(out);
        steps
            .iter()
            .map(|line| line["loss"].as_f64().unwrap())
            .collect()
    };
    let expected = losses(&wide);
    assert_eq!(expected.len(), STEPS as usize);
    for precision in narrow() {
        let out = parent.path().join(precision.to_string());
        run(&within("mate", precision, &log), &out, false, None).unwrap();
        let tolerance = match precision {
            Precision::Bf16 => 0.05,
            _ => 0.02,
        };
        // A step that was left out is one behind.
        let behind = newest(&out)
            .position
            .loss_scale
            .is_some_and(|scale| scale.factor() < 65536.0);
        if behind {
            continue;
        }
        for (step, (found, expected)) in losses(&out).iter().zip(&expected).enumerate() {
            println!("{precision} {step}: {found} {expected}");
            assert!(
                (found - expected).abs() < tolerance * expected.abs(),
                "{precision}, step {step}: {found} {expected}"
            );
        }
        assert_eq!(
            json(&out.join("model.json"))["format"],
            json(&wide.join("model.json"))["format"]
        );
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_weights_bit_for_bit() {
    let parent = tempfile::tempdir().unwrap();
    let settings = ["train.ema={ decay = 0.9 }", "train.clip-norm=1.0"];
    for precision in narrow() {
        let recipe = within("mate", precision, &settings);
        let whole = parent.path().join(format!("{precision}"));
        run(&recipe, &whole, false, None).unwrap();
        for stop in [1, 5] {
            let out = parent.path().join(format!("{precision}-{stop}"));
            run(&recipe, &out, false, Some(stop)).unwrap();
            run(&recipe, &out, true, None).unwrap();
            assert_same_run(&whole, &out);
            let scale = |out: &Path| newest(out).position.loss_scale;
            assert_eq!(scale(&whole), scale(&out));
            assert_eq!(scale(&out).is_some(), precision == Precision::Fp16);
        }
        let logged = steps(&whole)[0]["loss_scale"].is_number();
        assert_eq!(logged, precision == Precision::Fp16);
        let logged = steps(&whole)[0]["skipped_steps"].is_number();
        assert_eq!(logged, precision == Precision::Fp16);
        let text = std::fs::read_to_string(whole.join("recipe.toml")).unwrap();
        assert!(
            text.contains(&format!("precision = \"{precision}\"")),
            "{text}"
        );
    }
}

#[test]
fn every_method_learns_in_parts_and_in_narrow_numbers() {
    let parent = tempfile::tempdir().unwrap();
    // One of the types, for a step in them is slow on a processor.
    if let Some(precision) = narrow().pop() {
        for entry in registry() {
            let mut settings = vec!["train.epochs=1", "train.checkpointing=blocks"];
            if ["one", "okddip"].contains(&entry.name) {
                settings.extend(["model.head=branch", "model.exits=[1, 1, 1]"]);
            } else {
                settings.push("model.head=sepconv");
            }
            if entry.name != "l2w-den" {
                settings.push("train.accumulate=3");
            }
            let out = parent.path().join(format!("{}-{precision}", entry.name));
            let report = run(&within(entry.name, precision, &settings), &out, false, None);
            let report = report.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
            assert_eq!(report.steps, 4);
        }
    }
}

#[test]
fn another_precision_does_not_go_on() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("run");
    run(&recipe("plain", &[]), &out, false, Some(3)).unwrap();
    for precision in narrow() {
        let error = run(&within("plain", precision, &[]), &out, true, None).unwrap_err();
        assert!(error.to_string().contains("train.precision"), "{error}");
    }
}

/// A device that cannot compute in a type is refused before anything is written.
#[test]
fn what_the_device_lacks_is_refused_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let supported = narrow();
    for precision in [Precision::Bf16, Precision::Fp16] {
        if supported.contains(&precision) {
            continue;
        }
        let out = parent.path().join("run");
        let error = run(&within("plain", precision, &[]), &out, false, None).unwrap_err();
        assert!(matches!(error, TrainError::Precision(_)), "{error}");
        assert!(!out.exists());
    }
    let error = Recipe::parse(
        "[train]\nprecision = 'half'",
        "half.toml".as_ref(),
        &[] as &[&str],
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("train.precision") && error.contains("bf16"),
        "{error}"
    );
}
