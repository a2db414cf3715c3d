//! The slow group: every recipe on the low-data CIFAR-100 trains two epochs as it is written.
//!
//! `just test-slow`, with `OFFRAMP_DATA` set; the first 21 recipes took 82 minutes on two busy
//! cores. `ONLY=kd,mate` takes the recipes of these names (`distill-dml` where two have one).

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use support::*;

fn recipes(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            recipes(&path, found);
        } else if path.extension() == Some(OsStr::new("toml")) {
            let recipe: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            if recipe["data"].get("dataset").and_then(|name| name.as_str())
                == Some("cifar-100-lowdata")
            {
                found.push(path);
            }
        }
    }
}

/// Runs the program in `folder`, where `runs/...` of the recipes lies.
fn within(folder: &Path, data: &OsStr, args: &[&str]) {
    let mut command = offramp(args);
    let output = command
        .current_dir(folder)
        .env("OFFRAMP_DATA", data)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
}

/// The runs that recipes start from: two teachers, and two backbones that were trained before.
fn prepare(folder: &Path, data: &OsStr, recipes: &Path) {
    let weights = Path::new(data).join(RESNET56);
    for run in ["runs/resnet56", "runs/resnet56-b"] {
        within(folder, data, &import_resnet56(&weights, run));
    }
    for run in ["plain", "resnet20"] {
        let recipe = recipes.join(format!("cifar100-lowdata/{run}.toml"));
        let out = format!("runs/{run}");
        let settings = ["--set", "train.epochs=1", "--out", &out];
        within(
            folder,
            data,
            &[&["train", text(&recipe)][..], &settings].concat(),
        );
    }
}

#[test]
#[ignore = "two epochs of every recipe: just test-slow, with OFFRAMP_DATA"]
fn every_recipe_trains_two_epochs_on_real_images() {
    let data = std::env::var_os("OFFRAMP_DATA").expect("OFFRAMP_DATA is the folder of the data");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let root = root.canonicalize().unwrap();
    let only = std::env::var("ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    let mut all = Vec::new();
    recipes(&root, &mut all);
    all.sort();
    assert!(all.len() >= 20, "{all:?}");
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), &data, &root);
    for path in all {
        // Two folders may hold recipes of one name.
        let name = path.strip_prefix(&root).unwrap().with_extension("");
        let name = text(&name).replace('/', "-");
        let file = path.file_stem().unwrap().to_str().unwrap();
        if !(only.is_empty() || only.contains(&file) || only.contains(&name.as_str())) {
            continue;
        }
        let began = Instant::now();
        let run = folder.path().join("runs").join(&name);
        let settings = ["--set", "train.epochs=2", "--out", text(&run)];
        within(
            folder.path(),
            &data,
            &[&["train", text(&path)][..], &settings].concat(),
        );
        let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines = metrics
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let epochs: Vec<Value> = lines.filter(|line| line["kind"] == "epoch").collect();
        assert_eq!(epochs.len(), 2, "{name}");
        let loss = |epoch: &Value| epoch["loss"].as_f64().expect("a finite loss");
        let eval: Value =
            serde_json::from_slice(&std::fs::read(run.join("eval.json")).unwrap()).unwrap();
        let exits = eval["exits"].as_array().unwrap().iter();
        let top1: Vec<f64> = exits.map(|exit| exit["top1"].as_f64().unwrap()).collect();
        println!(
            "{name}: loss {:.3}, then {:.3}; test top-1 {top1:.1?}; {:.0?}",
            loss(&epochs[0]),
            loss(&epochs[1]),
            began.elapsed()
        );
        // Chance is 1 %. Who learns a teacher's map is no better at first, and has a falling loss;
        // where a ramp or a temperature raises the loss, the labels are learned.
        let best = top1.iter().fold(0.0_f64, |best, top1| best.max(*top1));
        let falls = loss(&epochs[1]) < loss(&epochs[0]);
        assert!(falls || best > 2.0, "{name} learns nothing: {top1:?}");
    }
}
