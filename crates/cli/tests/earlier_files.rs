//! Run folders, policies, plans and checkpoints of an earlier version, see `fixtures/earlier`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use offramp_core::params;
use serde_json::Value;
use support::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/earlier")
        .join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn predictions(arguments: &[&str]) -> Value {
    let folder = fixture("run");
    let mut all = vec!["predict", folder.to_str().unwrap()];
    let images: Vec<PathBuf> = (0..6)
        .map(|i| fixture(&format!("images/{i}.png")))
        .collect();
    all.extend(images.iter().map(|image| image.to_str().unwrap()));
    all.extend(arguments);
    all.push("--json");
    json(&all)
}

/// The same classes at the same exits. Probabilities are those of another processor at most.
fn assert_as_before(found: &Value, engine: &str) {
    let text = fs::read_to_string(fixture(&format!("predictions-{engine}.json"))).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let list = |value: &Value| value["predictions"].as_array().unwrap().clone();
    let (found, expected) = (list(found), list(&expected));
    assert_eq!(found.len(), 6);
    for (found, expected) in found.iter().zip(&expected) {
        for key in ["class", "label", "exit", "macs"] {
            assert_eq!(found[key], expected[key], "{engine} {key}");
        }
        let confidence = |value: &Value| value["confidence"].as_f64().unwrap();
        let difference = (confidence(found) - confidence(expected)).abs();
        assert!(difference < 1e-5, "{engine}: {found} {expected}");
    }
}

#[test]
fn a_run_folder_and_its_policy_answer_as_before() {
    for engine in ["compiled", "burn"] {
        assert_as_before(&predictions(&["--engine", engine]), engine);
    }
}

#[test]
fn a_plan_answers_as_before() {
    let plan = fixture("run/export/f32.plan");
    let found = predictions(&["--plan", plan.to_str().unwrap()]);
    assert_as_before(&found, "compiled");
}

/// The run goes on from the checkpoint to the weights of the run that was not interrupted. On the
/// processor that trained it they are equal to the last bit; another rounds differently.
#[test]
fn an_interrupted_run_goes_on_to_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    copy(&fixture("interrupted"), &folder);
    let recipe = fixture("small.toml");
    let arguments = [
        "train",
        recipe.to_str().unwrap(),
        "--out",
        folder.to_str().unwrap(),
        "--resume",
    ];
    let output = run(&arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    let tensors = |path: PathBuf| params::from_safetensors(&fs::read(path).unwrap()).unwrap();
    let found = tensors(folder.join("model.safetensors"));
    let expected = tensors(fixture("run/model.safetensors"));
    let names = |tensors: &params::NamedTensors| tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, expected) in &expected {
        let pairs = found[name].iter::<f32>().zip(expected.iter::<f32>());
        let largest = expected
            .iter::<f32>()
            .fold(1e-3_f32, |most, x| most.max(x.abs()));
        for (f, e) in pairs {
            assert!((f - e).abs() <= 1e-3 * largest, "{name}: {f} {e}");
        }
    }
}
