//! The main job, through the program: train, evaluate, calibrate, predict.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{TINY, failure, json, recipe, text};

fn trained(folder: &Path) -> std::path::PathBuf {
    let out = folder.join("run");
    let recipe = recipe(folder, TINY);
    json(&["train", text(&recipe), "--out", text(&out), "--json"]);
    out
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

#[test]
fn train_evaluate_calibrate_predict() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    for file in [
        "recipe.toml",
        "metrics.jsonl",
        "log.txt",
        "model.safetensors",
        "model.json",
        "eval.json",
    ] {
        assert!(run.join(file).exists(), "{file}");
    }
    evaluates_alike(&run);
    let exits_when_full = calibrates(&run);
    predicts(folder.path(), &run, exits_when_full);
}

fn evaluates_alike(run: &Path) {
    let first = json(&["eval", text(run), "--json"]);
    let second = json(&["eval", text(run), "--json"]);
    assert_eq!(first, second, "the same twice");
    for workers in ["1", "2"] {
        let again = json(&["eval", text(run), "--workers", workers, "--json"]);
        assert_eq!(first, again, "{workers} workers");
    }
    assert_eq!(first["split"], "test");
    assert_eq!(first["samples"], 96);
    let exits = first["exits"].as_array().unwrap();
    assert_eq!(exits.len(), 3);
    let macs: Vec<u64> = exits
        .iter()
        .map(|exit| exit["macs"].as_u64().unwrap())
        .collect();
    assert!(macs.is_sorted_by(|a, b| a < b));
    assert!(first["ensemble"]["top1"].is_number());
    let stored: Value =
        serde_json::from_slice(&std::fs::read(run.join("eval.json")).unwrap()).unwrap();
    assert_eq!(stored, first);

    let val = json(&["eval", text(run), "--split", "val", "--json"]);
    assert_eq!(val["samples"], 80);
}

fn calibrates(run: &Path) -> f64 {
    let curve = json(&["calibrate", text(run), "--json"]);
    assert_eq!(curve["fitted-on"], "val");
    assert_eq!(curve["scored-on"], "test");
    let rows = curve["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 39);
    for row in rows {
        let fractions = numbers(&row["exit-fractions"]);
        assert_eq!(row["thresholds"].as_array().unwrap().len(), 3);
        assert!((fractions.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
    assert!(rows[0]["mean-macs"].as_f64() < rows[38]["mean-macs"].as_f64());
    assert!(run.join("policy.json").exists());

    let budget = json(&[
        "calibrate",
        text(run),
        "--policy",
        "entropy",
        "--max-macs",
        "80%",
        "--json",
    ]);
    assert_eq!(budget["rows"].as_array().unwrap().len(), 1);
    let full = budget["full"]["macs"].as_f64().unwrap();
    let expected = budget["policy"]["expected"]["mean-macs"].as_f64().unwrap();
    assert!(expected <= 0.8 * full, "met on the rows it was fitted on");
    full
}

fn predicts(folder: &Path, run: &Path, full_macs: f64) {
    let path = folder.join("image.png");
    let image = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, 90]));
    image.save(&path).unwrap();
    let answer = json(&["predict", text(run), text(&path), text(&path), "--json"]);
    let rows = answer["predictions"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], rows[1]);
    assert!(rows[0]["macs"].as_f64().unwrap() <= full_macs);

    for exit in 0..3 {
        let exit_text = exit.to_string();
        let answer = json(&[
            "predict",
            text(run),
            text(&path),
            "--exit",
            &exit_text,
            "--json",
        ]);
        assert_eq!(answer["predictions"][0]["exit"], exit);
    }
    let error = failure(&["predict", text(run), text(&path), "--exit", "3"]);
    assert!(error.contains('3'), "{error}");

    let broken = folder.join("broken.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let error = failure(&["predict", text(run), text(&broken)]);
    assert!(error.contains("broken.png"), "{error}");
}

#[test]
fn what_stands_in_a_model_table_is_listed_with_the_methods() {
    let entries = json(&["list", "methods", "--json"]);
    let keys = |key: &str| -> Vec<String> {
        let entries = entries.as_array().unwrap().iter();
        let entries = entries.filter(|entry| entry["key"] == key && entry["table"] == "[model]");
        entries
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys("cascade"), ["none", "boost", "ztw", "isc"]);
    assert_eq!(keys("gradients"), ["plain", "equilibrium"]);
}

#[test]
fn lists_are_json() {
    for kind in ["backbones", "heads", "methods", "datasets", "policies"] {
        let entries = json(&["list", kind, "--json"]);
        let entries = entries.as_array().unwrap();
        assert!(!entries.is_empty());
        assert!(
            entries
                .iter()
                .all(|entry| entry["name"].is_string() && entry["doc"].is_string())
        );
    }
}
