//! The compiled engine and burn answer alike; plans as files; `offramp bench`.

mod support;

use std::path::{Path, PathBuf};

use offramp_core::DeviceSpec;
use serde_json::Value;
use support::{TINY, assert_names, failure, json, recipe, text};

/// One run for all: training is what takes time.
#[test]
fn a_trained_network_on_both_engines() {
    if DeviceSpec::from_env().unwrap().best() != DeviceSpec::Cpu {
        println!("left out: the compiled engine is for --device cpu");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), TINY);
    let run = folder.path().join("run");
    json(&["train", text(&recipe), "--out", text(&run), "--json"]);
    timed_without_a_policy(&run);
    in_time(&run);
    json(&["calibrate", text(&run), "--max-macs", "60%", "--json"]);
    let images = images(folder.path());
    let compiled = predictions(&run, &images, &["--engine", "compiled"]);
    same(
        &compiled,
        &predictions(&run, &images, &["--engine", "burn"]),
        1e-4,
    );
    same(&compiled, &predictions(&run, &images, &[]), 0.0);
    plans(folder.path(), &run, &images, &compiled);
    timed(&run);
    options_that_make_no_sense(&run);
}

/// With time to spare no accuracy is given up on the rows to fit on; with too little there is no policy.
fn in_time(run: &Path) {
    let budget = |ms: &str| json(&["calibrate", text(run), "--max-mean-ms", ms, "--json"]);
    let spare = budget("100000");
    let of = |point: &Value| point["top1"].as_f64().unwrap();
    let whole = json(&["calibrate", text(run), "--max-macs", "100%", "--json"]);
    assert!(of(&spare["policy"]["expected"]) >= of(&whole["policy"]["expected"]) - 1e-9);
    assert_eq!(spare["rows"].as_array().unwrap().len(), 1);
    let message = failure(&["calibrate", text(run), "--max-mean-ms", "0.000001"]);
    assert_names(&message, &["--max-mean-ms", "exit 0 alone takes"]);
    for wrong in ["0", "NaN", "-1"] {
        let option = format!("--max-mean-ms={wrong}");
        let message = failure(&["calibrate", text(run), &option]);
        assert_names(&message, &["--max-mean-ms", "above 0"]);
    }
}

/// Images of noise and of one colour, of other sizes than the network's.
fn images(folder: &Path) -> Vec<String> {
    (0..12u32)
        .map(|i| {
            let path = folder.join(format!("{i}.png"));
            let shade = |x: u32, c: u32| (x.wrapping_mul(97 + 31 * i + c) % 256) as u8;
            let image = image::RgbImage::from_fn(20 + i, 40, |x, y| {
                image::Rgb([0, 1, 2].map(|c| shade(x * (i % 3) + y * (i % 2), c)))
            });
            image.save(&path).unwrap();
            path.display().to_string()
        })
        .collect()
}

fn predictions(run: &Path, images: &[String], more: &[&str]) -> Vec<Value> {
    let mut args = vec!["predict", text(run), "--json"];
    args.extend(images.iter().map(String::as_str));
    args.extend(more);
    json(&args)["predictions"].as_array().unwrap().clone()
}

#[track_caller]
fn same(left: &[Value], right: &[Value], tolerance: f64) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(right) {
        for key in ["class", "exit", "macs"] {
            assert_eq!(left[key], right[key], "{left} {right}");
        }
        let [a, b] = [left, right].map(|row| row["confidence"].as_f64().unwrap());
        assert!((a - b).abs() <= tolerance, "{left} {right}");
    }
}

fn export(run: &Path, more: &[&str]) -> PathBuf {
    let mut args = vec!["export", text(run), "--format", "plan", "--json"];
    args.extend(more);
    PathBuf::from(json(&args)["files"][0].as_str().unwrap())
}

fn plans(folder: &Path, run: &Path, images: &[String], compiled: &[Value]) {
    let plan = export(run, &[]);
    assert_eq!(plan, run.join("export/f32.plan"));
    same(
        compiled,
        &predictions(run, images, &["--plan", text(&plan)]),
        1e-5,
    );
    let bytes = export(run, &["--precision", "int8"]);
    assert_eq!(bytes, run.join("export/int8.plan"));
    let answers = predictions(run, images, &["--plan", text(&bytes)]);
    assert_eq!(answers.len(), images.len());

    let message = failure(&["predict", text(run), &images[0], "--plan", "no.plan"]);
    assert_names(&message, &["no.plan"]);
    let damaged = folder.join("damaged.plan");
    let mut content = std::fs::read(&plan).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&damaged, content).unwrap();
    let message = failure(&["predict", text(run), &images[0], "--plan", text(&damaged)]);
    assert_names(&message, &["damaged.plan", "compile the plan again"]);
    let other = folder.join("other");
    let recipe = recipe(folder, &TINY.replace("seed = 1", "seed = 2"));
    json(&["train", text(&recipe), "--out", text(&other), "--json"]);
    let message = failure(&["predict", text(&other), &images[0], "--plan", text(&plan)]);
    assert_names(&message, &["f32.plan", "another model", "offramp export"]);
}

fn summary(value: &Value) -> [f64; 4] {
    ["p50_ms", "p95_ms", "p99_ms", "images_per_second"].map(|key| value[key].as_f64().unwrap())
}

fn timed_without_a_policy(run: &Path) {
    let args = [
        "bench",
        text(run),
        "--random",
        "--batch",
        "2",
        "--seconds",
        "0.05",
        "--json",
    ];
    let document = json(&args);
    assert_eq!(document["policy"], Value::Null);
    assert_eq!(document["measurements"][0]["policy"], Value::Null);
}

fn timed(run: &Path) {
    let args = [
        "bench",
        text(run),
        "--seconds",
        "0.05",
        "--batch",
        "1,5",
        "--json",
    ];
    let document = json(&[&args[..], &["--threads", "1,2"]].concat());
    assert_eq!(document["engine"], "compiled");
    let measurements = document["measurements"].as_array().unwrap();
    let of = |m: &Value| [&m["threads"], &m["batch"]].map(|n| n.as_u64().unwrap());
    let all: Vec<[u64; 2]> = measurements.iter().map(of).collect();
    assert_eq!(all, [[1, 1], [1, 5], [2, 1], [2, 5]]);
    for m in measurements {
        let exits = m["exits"].as_array().unwrap();
        assert_eq!(exits.len(), 3);
        for times in exits.iter().chain([&m["single"], &m["policy"]]) {
            let [p50, p95, p99, speed] = summary(times);
            assert!(
                0.0 < p50 && p50 <= p95 && p95 <= p99 && speed > 0.0,
                "{times}"
            );
        }
        // All samples go through every exit, so the next one is reached later.
        let p50: Vec<f64> = exits.iter().map(|times| summary(times)[0]).collect();
        assert!(p50.is_sorted(), "{p50:?}");
        let fractions = m["policy"]["exit_fractions"].as_array().unwrap();
        let sum: f64 = fractions.iter().map(|f| f.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{fractions:?}");
        let share = m["policy"]["macs_share"].as_f64().unwrap();
        assert!(0.0 < share && share <= 1.0);
    }
    let latency = std::fs::read(run.join("latency.json")).unwrap();
    let latency: Value = serde_json::from_slice(&latency).unwrap();
    assert_eq!(latency["exits_ms"].as_array().unwrap().len(), 3);
    assert!(latency["hardware"].as_str().unwrap().contains("batch 1"));

    let burn = json(&[&args[..], &["--engine", "burn"]].concat());
    assert_eq!(burn["engine"], "burn");
    assert_eq!(burn["measurements"][0]["threads"], Value::Null);
    let bytes = json(&[&args[..], &["--precision", "int8"]].concat());
    assert_eq!(bytes["precision"], "int8");
    let plan = run.join("export/f32.plan");
    let plan = json(&[&args[..], &["--plan", text(&plan)]].concat());
    assert_eq!(plan["measurements"].as_array().unwrap().len(), 2);
}

fn options_that_make_no_sense(run: &Path) {
    let refused = |command: &str, more: &[&str], names: &[&str]| {
        let message = failure(&[&[command, text(run)], more].concat());
        assert_names(&message, names);
    };
    refused("bench", &["--seconds", "0"], &["--seconds 0"]);
    refused("bench", &["--seconds", "NaN"], &["--seconds NaN"]);
    refused("bench", &["--batch", "0"], &["--batch", "0"]);
    refused(
        "bench",
        &["--threads", "2", "--engine", "burn"],
        &["--threads", "compiled"],
    );
    refused(
        "bench",
        &["--precision", "int8", "--engine", "burn"],
        &["int8", "compiled"],
    );
    refused(
        "bench",
        &["--plan", "x", "--engine", "burn"],
        &["--plan", "burn"],
    );
    refused(
        "predict",
        &["x.png", "--plan", "x", "--engine", "burn"],
        &["--plan"],
    );
    refused(
        "export",
        &["--format", "onnx", "--precision", "int8"],
        &["int8", "plan"],
    );
    refused(
        "export",
        &["--format", "plan", "--segments"],
        &["--segments", "onnx"],
    );
    refused(
        "export",
        &["--format", "plan", "--staged"],
        &["--staged", "onnx"],
    );
    let recipe = run.join("recipe.toml");
    let kept = std::fs::read_to_string(&recipe).unwrap();
    let without = kept.replace("val-fraction = 0.25", "val-fraction = 0.0");
    assert_ne!(kept, without);
    std::fs::write(&recipe, without).unwrap();
    refused(
        "export",
        &["--format", "plan", "--precision", "int8"],
        &["no validation rows", "val-fraction"],
    );
    std::fs::write(&recipe, kept).unwrap();
}
