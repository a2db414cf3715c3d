//! `offramp export`: run folders as files of other programs.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use offramp_data::{DataConfig, open};
use offramp_interop::export::{OnnxSegments, SegmentsFile};
use serde_json::Value;
use support::{RESNET56, TINY, assert_names, failure, import_resnet56, json, recipe, run, text};

fn trained(folder: &Path) -> PathBuf {
    let run = folder.join("run");
    let recipe = recipe(folder, &TINY.replace("epochs = 2", "epochs = 1"));
    json(&["train", text(&recipe), "--out", text(&run), "--json"]);
    run
}

fn chain(folder: &Path) -> SegmentsFile {
    serde_json::from_slice(&std::fs::read(folder.join(OnnxSegments::JSON)).unwrap()).unwrap()
}

#[test]
fn a_run_is_written_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = trained(folder.path());
    let export = ["export", text(&run_folder), "--format"];
    let exported = |more: &[&str]| json(&[&export[..], more, &["--json"]].concat());

    let document = exported(&["safetensors"]);
    let file = run_folder.join("export/pytorch.safetensors");
    assert_eq!(document["files"][0], text(&file));
    assert!(file.exists() && document["opset"].is_null() && document["policy"].is_null());
    let document = exported(&["onnx", "--opset", "21"]);
    assert!(run_folder.join("export/model.onnx").exists());
    assert_eq!(
        (&document["opset"], &document["ir_version"]),
        (&21.into(), &10.into())
    );
    assert_eq!(document["policy"], "always exit 2");
    assert_eq!(document["exits"].as_array().unwrap().len(), 3);

    exported(&["onnx", "--segments"]);
    let staged = run_folder.join("export/segments");
    let before = chain(&staged);
    assert_eq!(before.opset, 17);
    let recipe = std::fs::read_to_string(run_folder.join("recipe.toml")).unwrap();
    assert_eq!(before.description.recipe, Some(recipe));

    // With a policy, over the chain that is there.
    json(&[
        "calibrate",
        text(&run_folder),
        "--max-macs",
        "80%",
        "--json",
    ]);
    let document = exported(&["onnx", "--segments"]);
    assert_eq!(document["policy"], text(&run_folder.join("policy.json")));
    assert_eq!(document["files"].as_array().unwrap().len(), 4);
    let policy = std::fs::read(run_folder.join("policy.json")).unwrap();
    let policy: Value = serde_json::from_slice(&policy).unwrap();
    let after = chain(&staged);
    assert_eq!(
        serde_json::to_value(&after.policy.policy).unwrap(),
        policy["policy"]
    );
    assert_eq!(after.segments, before.segments);
    assert_eq!(after.description.model, policy["model"]);
}

#[test]
fn mistakes_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = trained(folder.path());
    let refused = |more: &[&str]| {
        let message = failure(&[&["export", text(&run_folder)], more].concat());
        assert!(!run_folder.join("export").exists(), "{more:?}");
        message
    };
    for option in [
        &["--segments"][..],
        &["--opset", "17"],
        &["--policy", "p.json"],
    ] {
        let message = refused(&[&["--format", "safetensors"], option].concat());
        assert_names(&message, &[option[0], "--format onnx"]);
    }
    assert!(refused(&["--format", "onnx", "--opset", "99"]).contains("13 to 22"));
    assert!(refused(&["--format", "onxx"]).contains("onnx"));
    assert_names(
        &refused(&["--format", "onnx", "--policy", "p.json"]),
        &["p.json"],
    );

    let own = run_folder.join("model.safetensors");
    let before = std::fs::read(&own).unwrap();
    let message = refused(&["--format", "safetensors", "--out", text(&own)]);
    assert_names(&message, &["model.safetensors", "--out"]);
    assert_eq!(std::fs::read(&own).unwrap(), before);
    let other = folder.path().join("thesis");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.tex"), "x").unwrap();
    let message = refused(&["--format", "onnx", "--segments", "--out", text(&other)]);
    assert_names(&message, &["thesis.tex", "--out"]);
    assert!(other.join("thesis.tex").exists());
    assert_names(
        &failure(&["export", "absent", "--format", "onnx"]),
        &["absent", "model.json"],
    );
}

/// A Python with the packages of `tests/python/requirements.txt`, and the data.
fn python_and_data() -> Option<(String, PathBuf)> {
    let data = std::env::var_os("OFFRAMP_DATA").map(PathBuf::from);
    let data = data.filter(|root| {
        root.join("weights/cifar100_resnet56-f2eff4c8.pt").exists()
            && root.join("cifar-100-lowdata").is_dir()
    });
    let python = std::env::var("OFFRAMP_PYTHON").ok().filter(|python| {
        let packages = "import numpy, onnx, onnxruntime, safetensors, PIL";
        let output = Command::new(python).args(["-c", packages]).output();
        output.is_ok_and(|output| output.status.success())
    });
    if data.is_none() || python.is_none() {
        eprintln!(
            "left out: OFFRAMP_DATA must name the folder of cifar-100-lowdata and weights, and \
             OFFRAMP_PYTHON a Python with tests/python/requirements.txt"
        );
    }
    python.zip(data)
}

fn check(python: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/python/check_export.py");
    let output = Command::new(python)
        .arg(script)
        .args(args)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{stdout}");
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// The published ResNet-56 in ONNX Runtime; then with early exits, as a chain that stops where
/// `predict` does.
#[test]
fn a_real_network_in_another_runtime() {
    let Some((python, data)) = python_and_data() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let imported = folder.path().join("imported");
    let weights = data.join(RESNET56);
    json(&[&import_resnet56(&weights, text(&imported))[..], &["--json"]].concat());
    json(&["export", text(&imported), "--format", "onnx", "--json"]);
    let graph = imported.join("export/model.onnx");
    let scored = check(
        &python,
        &[
            "accuracy",
            text(&graph),
            text(&data.join("cifar-100-lowdata")),
        ],
    );
    assert_eq!(scored.trim(), "exit0: 72.63 % of 10000");

    let recipe = recipe(
        folder.path(),
        &format!(
            "name = \"exits\"\n[data]\ndataset = \"cifar-100-lowdata\"\n\
             [model]\nbackbone = \"resnet56\"\nhead = \"sepconv\"\ninit-from = {:?}\n\
             freeze-backbone = true\n[train]\nepochs = 1\nbatch-size = 64\n",
            text(&imported)
        ),
    );
    let trained = folder.path().join("trained");
    let root = ["--data", text(&data), "--json"];
    json(
        &[
            &["train", text(&recipe), "--out", text(&trained)],
            &root[..],
        ]
        .concat(),
    );
    json(
        &[
            &["calibrate", text(&trained), "--max-macs", "75%"],
            &root[..],
        ]
        .concat(),
    );
    json(&[
        "export",
        text(&trained),
        "--format",
        "onnx",
        "--segments",
        "--json",
    ]);

    let images = images(folder.path(), &data, 1000);
    let mut args = vec!["predict", text(&trained), "--json"];
    args.extend(images.iter().map(|path| text(path)));
    let output = run(&args);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let predictions = folder.path().join("predictions.json");
    std::fs::write(&predictions, output.stdout).unwrap();
    let staged = trained.join("export/segments");
    let compared = check(&python, &["chain", text(&staged), text(&predictions)]);
    assert!(compared.contains("1000 images") && compared.contains(" 0 differ"));
}

/// The first test images as files.
fn images(folder: &Path, data: &Path, count: usize) -> Vec<PathBuf> {
    let config = DataConfig {
        dataset: "cifar-100-lowdata".to_owned(),
        ..DataConfig::default()
    };
    let test = open(&config, Some(data)).unwrap().test;
    let write = |i: usize| {
        let path = folder.join(format!("{i}.png"));
        let pixels = test.image(i);
        let image = image::RgbImage::from_fn(32, 32, |x, y| {
            let at = (32 * y + x) as usize;
            image::Rgb([0, 1, 2].map(|c| pixels[1024 * c + at]))
        });
        image.save(&path).unwrap();
        path
    };
    (0..count).map(write).collect()
}
