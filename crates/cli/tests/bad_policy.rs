//! Policies that do not fit end with one clear error: NaN thresholds, wrong numbers of them, policies of
//! another model, other classes, images of another size, options that contradict each other.

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{TINY, assert_names, failure, json as run_json, offramp, recipe, text};

/// A finished run with a policy, and the folder that it lives in.
fn calibrated() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), TINY);
    let run = folder.path().join("run");
    run_json(&["train", text(&recipe), "--out", text(&run), "--json"]);
    run_json(&["calibrate", text(&run), "--json"]);
    (folder, run)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What `predict` says of the run's policy with one change.
fn refusal(run: &Path, change: impl FnOnce(&mut Value)) -> String {
    let path = run.join("policy.json");
    let kept = std::fs::read(&path).unwrap();
    let mut file = read(&path);
    change(&mut file);
    std::fs::write(&path, file.to_string()).unwrap();
    let message = failure(&["predict", text(run), "x.png"]);
    assert_names(&message, &["policy.json"]);
    std::fs::write(&path, kept).unwrap();
    message
}

/// One run for all: training is what takes time.
#[test]
fn policies_that_do_not_fit() {
    let (folder, run) = calibrated();
    damaged_files(&run);
    files_of_other_models(folder.path(), &run);
    options_that_make_no_sense(&run);
    every_policy_predicts(folder.path(), &run);
}

fn damaged_files(run: &Path) {
    let message = refusal(run, |file| file["policy"]["thresholds"][0] = json!("NaN"));
    assert_names(&message, &["NaN", "a number, \"inf\" or \"-inf\""]);
    let message = refusal(run, |file| file["policy"]["thresholds"][0] = Value::Null);
    assert_names(&message, &["null", "calibrate"]);
    let message = refusal(run, |file| {
        file["policy"]["thresholds"] = json!([0.5, 0.5]);
    });
    assert_names(&message, &["2 exit(s)", "the model has 3"]);
    let message = refusal(run, |file| {
        file["policy"] = json!({"name": "patience", "patience": 0, "num-exits": 3});
    });
    assert_names(&message, &["patience is 0"]);
    let message = refusal(run, |file| file["policy"]["name"] = json!("coin"));
    assert_names(&message, &["coin", "patience"]);
    let message = refusal(run, |file| file["temperatures"] = json!([1.0, 1.0]));
    assert_names(&message, &["temperatures have 2"]);
}

fn files_of_other_models(folder: &Path, run: &Path) {
    let sum = read(&run.join("policy.json"))["model"]
        .as_str()
        .unwrap()
        .to_owned();
    let message = refusal(run, |file| file["model"] = json!("0".repeat(sum.len())));
    assert_names(&message, &["0000", &sum]);

    // The same recipe from another seed: another model with exits and classes alike.
    let other = folder.join("other");
    let recipe = folder.join("recipe.toml");
    let train = ["train", text(&recipe), "--out", text(&other), "--json"];
    run_json(&[&train[..], &["--set", "seed=2", "--set", "train.epochs=1"]].concat());
    let policy = run.join("policy.json");
    let message = failure(&["predict", text(&other), "x.png", "--policy", text(&policy)]);
    assert_names(&message, &["policy.json", &sum]);

    // The right checksum, but weights for other classes.
    let scorer = |exit: usize| json!({"classes": [0.0, 1.0], "confidence": 1.0, "certainty": 0.0, "past": vec![0.0; exit]});
    let message = refusal(run, |file| {
        file["policy"] = json!({
            "name": "scheduler",
            "thresholds": file["expected"]["thresholds"],
            "scorers": [scorer(0), scorer(1)],
        });
        file.as_object_mut().unwrap().remove("criterion");
    });
    assert_names(&message, &["2 classes", "10"]);
    let message = refusal(run, |file| {
        let exit = |k: usize| json!({"log-weights": vec![0.0; k + 1], "bias": [0.0, 0.0]});
        file["ensemble"] = json!({"name": "zero-time-waste", "exits": [exit(0), exit(1), exit(2)]});
    });
    assert_names(&message, &["2 classes", "10"]);

    // A run whose data have other classes, or images of another size.
    let card = run.join("model.json");
    let kept = std::fs::read(&card).unwrap();
    let images = folder.join("images");
    for split in ["train", "test"] {
        for class in ["dark", "light"] {
            let place = images.join(split).join(class);
            std::fs::create_dir_all(&place).unwrap();
            for i in 0..8u8 {
                let image = image::RgbImage::from_pixel(48, 48, image::Rgb([i, 9, 200]));
                image.save(place.join(format!("{i}.png"))).unwrap();
            }
        }
    }
    let message = failure(&[
        "eval",
        text(run),
        "--dataset",
        "cifar-100",
        "--data",
        text(folder),
    ]);
    assert_names(&message, &["cifar-100"]);
    let recipe = run.join("recipe.toml");
    let original = std::fs::read_to_string(&recipe).unwrap();
    let folder_data = |size: usize| {
        let dir = format!(
            "dataset = \"folder\"\nimage-size = {size}\ndir = {:?}",
            text(&images)
        );
        original.replace("dataset = \"generated\"", &dir)
    };
    std::fs::write(&recipe, folder_data(32)).unwrap();
    let message = failure(&["calibrate", text(run)]);
    assert_names(&message, &["10 classes", "2"]);
    std::fs::write(&recipe, &original).unwrap();
    assert_eq!(std::fs::read(&card).unwrap(), kept);
}

fn options_that_make_no_sense(run: &Path) {
    let calibrate = |more: &[&str]| failure(&[&["calibrate", text(run)], more].concat());
    let before = std::fs::read(run.join("policy.json")).unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--policy", "patient"], &["patient", "patience, gates"]),
        (&["--ensemble", "mean"], &["mean", "product"]),
        (&["--max-macs", "1%"], &["MAC"]),
        (&["--max-macs", "lots"], &["lots"]),
        (&["--max-drop", "NaN"], &["NaN"]),
        (&["--guarantee", "1.5"], &["1.5", "95%"]),
        (&["--guarantee", "NaN"], &["NaN", "95%"]),
        (
            &["--guarantee", "95%", "--max-drop", "0"],
            &["level of the risk", "0"],
        ),
        (
            &["--guarantee", "95%", "--policy", "gates"],
            &["gates", "confidence"],
        ),
        (&["--policy", "deadline"], &["--max-ms"]),
        (&["--max-ms", "5"], &["deadline"]),
        (
            &["--policy", "deadline", "--max-ms", "0.000001"],
            &["exit 0 needs"],
        ),
        (&["--policy", "deadline", "--max-ms", "NaN"], &["NaN"]),
        (
            &["--policy", "patience", "--max-macs", "41%"],
            &["none of the 3 policies"],
        ),
    ];
    for (options, parts) in cases {
        assert_names(&calibrate(options), parts);
    }
    let after = std::fs::read(run.join("policy.json")).unwrap();
    assert_eq!(before, after, "a refusal leaves the policy as it was");
}

/// What is calibrated is what predicts, for every policy and ensemble.
fn every_policy_predicts(folder: &Path, run: &Path) {
    let path = folder.join("image.png");
    let image = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, 90]));
    image.save(&path).unwrap();
    let predict = || {
        let answer = run_json(&["predict", text(run), text(&path), "--json"]);
        assert!(
            answer["predictions"][0]["exit"].as_u64().unwrap() < 3,
            "{answer}"
        );
    };
    let policies = run_json(&["list", "policies", "--json"]);
    for entry in policies.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let options = match (entry["table"].as_str(), name) {
            (_, "deadline") => vec!["--policy", name, "--max-ms", "100000"],
            (Some("--ensemble"), _) => vec!["--ensemble", name, "--max-drop", "60"],
            _ => vec!["--policy", name, "--max-drop", "60"],
        };
        let document = run_json(&[&["calibrate", text(run), "--json"], &options[..]].concat());
        match entry["table"].as_str() {
            Some("--ensemble") => assert_eq!(document["policy"]["ensemble"]["name"], name),
            _ => assert_eq!(document["policy"]["policy"]["name"], name),
        }
        predict();
    }
    let scaled = run_json(&[
        "calibrate",
        text(run),
        "--temperatures",
        "--max-drop",
        "60",
        "--json",
    ]);
    assert_eq!(
        scaled["policy"]["temperatures"].as_array().unwrap().len(),
        3
    );
    predict();
    let options = ["--guarantee", "90%", "--max-drop", "30", "--json"];
    let promised = run_json(&[&["calibrate", text(run)], &options[..]].concat());
    let guarantee = &promised["policy"]["guarantee"];
    assert_eq!(guarantee["promise"], json!({"probability": 0.9}));
    assert_eq!(
        (&guarantee["loss"], &guarantee["level"]),
        (&json!("drop"), &json!(0.3))
    );
    predict();
    let output = offramp(&["calibrate", text(run), "--guarantee", "mean"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("guarantee:") && said.contains("on average"),
        "{said}"
    );
}

#[test]
fn diagnostics_and_logits() {
    let (folder, run) = calibrated();
    let logits = folder.path().join("logits.safetensors");
    let options = ["--diagnostics", "--logits", text(&logits), "--json"];
    let report = run_json(&[&["eval", text(&run)], &options[..]].concat());
    let diagnostics = &report["diagnostics"];
    assert_eq!(diagnostics["agreement"][1][1], 100.0);
    assert_eq!(diagnostics["running_ensemble"].as_array().unwrap().len(), 3);
    assert_eq!(diagnostics["reliability"].as_array().unwrap().len(), 3);
    assert!(diagnostics["oracle"]["top1"].as_f64() >= report["exits"][2]["top1"].as_f64());
    let bytes = std::fs::read(&logits).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("exit2").unwrap().shape(), [96, 10]);
    assert_eq!(tensors.tensor("labels").unwrap().shape(), [96]);
    let macs = tensors.tensor("macs").unwrap();
    let last = u64::from_le_bytes(macs.data()[16..].try_into().unwrap());
    assert_eq!(report["exits"][2]["macs"], last);
}
