//! Bad input ends with one clear error that names the file and the value, and leaves earlier
//! results untouched.

mod support;

use std::path::{Path, PathBuf};

use support::{TINY, assert_names, failure, json, offramp, recipe, text};

fn train(folder: &Path, recipe_text: &str, more: &[&str]) -> String {
    let recipe = recipe(folder, recipe_text);
    let out = folder.join("run");
    let mut args = vec!["train", text(&recipe), "--out", text(&out)];
    args.extend(more);
    failure(&args)
}

#[test]
fn a_recipe_with_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let train = |text: &str, more: &[&str]| train(folder.path(), text, more);
    let changed = |from: &str, to: &str| {
        assert!(TINY.contains(from));
        TINY.replace(from, to)
    };
    let cases: &[(String, &[&str])] = &[
        (
            changed("batch-size", "batchsize"),
            &["recipe.toml", "batchsize", "batch-size"],
        ),
        (
            changed("epochs = 2", "epochs = \"two\""),
            &["recipe.toml", "epochs", "two"],
        ),
        (
            changed("\"mate\"", "\"mat\""),
            &["recipe.toml", "mat", "mate"],
        ),
        (
            changed("\"resnet8\"", "\"resnet9\""),
            &["recipe.toml", "resnet9", "resnet"],
        ),
        (
            changed("\"generated\"", "\"generate\""),
            &["generate", "generated"],
        ),
        (
            changed("lr = 0.05", "lr = -1.0"),
            &["recipe.toml", "lr", "-1"],
        ),
        (
            changed("val-fraction = 0.25", "val-fraction = 1.5"),
            &["val-fraction", "1.5"],
        ),
        (changed("dataset", "classes = 7\ndataset"), &["7", "10"]),
        (changed("[model]", "[model"), &["recipe.toml"]),
    ];
    for (text, parts) in cases {
        assert_names(&train(text, &[]), parts);
    }
    assert_names(
        &train(TINY, &["--set", "train.epoch=3"]),
        &["train.epoch", "epochs"],
    );
    assert_names(&train(TINY, &["--set", "nonsense"]), &["nonsense"]);
    assert!(
        !folder
            .path()
            .join("run")
            .join("checkpoints")
            .join("x")
            .exists()
    );
}

#[test]
fn missing_things() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing");
    let nothing = text(&nothing);
    assert_names(&failure(&["train", nothing]), &["nothing"]);
    for command in ["eval", "calibrate"] {
        assert_names(&failure(&[command, nothing]), &["nothing", "model.json"]);
    }
    assert_names(
        &failure(&["predict", nothing, "x.png"]),
        &["nothing", "model.json"],
    );
    assert_names(
        &failure(&["data", "info", "cifar-101"]),
        &["cifar-101", "cifar-10"],
    );
    let absent = TINY.replace("\"generated\"", "\"cifar-100\"");
    let message = train(folder.path(), &absent, &["--data", text(folder.path())]);
    assert_names(&message, &["cifar-100", "fetch"]);
    let message = failure(&["eval", nothing, "--device", "gpu"]);
    assert!(
        message.contains("gpu") && message.contains("cuda"),
        "{message}"
    );
}

#[test]
fn a_run_that_failed_before_its_first_step_can_be_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let absent = TINY.replace("\"generated\"", "\"cifar-100\"");
    train(folder.path(), &absent, &["--data", text(folder.path())]);
    let recipe = recipe(folder.path(), TINY);
    let out = folder.path().join("run");
    json(&[
        "train",
        text(&recipe),
        "--out",
        text(&out),
        "--set",
        "train.epochs=1",
        "--json",
    ]);
}

/// A finished run and a folder that it lives in.
fn finished() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), TINY);
    let run = folder.path().join("run");
    json(&["train", text(&recipe), "--out", text(&run), "--json"]);
    (folder, run)
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_runs() {
    let (folder, run) = finished();
    let recipe = folder.path().join("recipe.toml");
    let again = ["train", text(&recipe), "--out", text(&run)];
    assert_names(&failure(&again), &["run", "--resume"]);

    let other = [&again[..], &["--resume", "--set", "train.epochs=5"]].concat();
    assert_names(&failure(&other), &["epochs", "5", "2"]);

    let mut checkpoints: Vec<PathBuf> = std::fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    checkpoints.sort();
    let newest = checkpoints.last().expect("checkpoints are kept");
    flip_a_byte(newest);
    let name = newest.file_name().unwrap().to_str().unwrap();
    let resumed = [&again[..], &["--resume"]].concat();
    assert_names(&failure(&resumed), &[name]);

    flip_a_byte(&run.join("model.safetensors"));
    assert_names(
        &failure(&["eval", text(&run)]),
        &["model.safetensors", "sha256"],
    );

    let card = run.join("model.json");
    let json = std::fs::read_to_string(&card).unwrap();
    std::fs::write(&card, json.replacen("\"format\": 1", "\"format\": 99", 1)).unwrap();
    assert_names(&failure(&["eval", text(&run)]), &["model.json", "99"]);
}

#[test]
fn no_validation_rows_no_thresholds() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), &TINY.replace("0.25", "0.0"));
    let run = folder.path().join("run");
    json(&[
        "train",
        text(&recipe),
        "--out",
        text(&run),
        "--set",
        "train.epochs=1",
        "--json",
    ]);
    assert_names(&failure(&["calibrate", text(&run)]), &["val-fraction"]);
}

/// Class folders with images of our own.
fn class_folders(root: &Path) -> PathBuf {
    let data = root.join("images");
    for split in ["train", "test"] {
        for (class, shade) in [("dark", 20), ("light", 220)] {
            let folder = data.join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..12 {
                let colour = image::Rgb([shade, shade + i, shade]);
                let image = image::RgbImage::from_pixel(32, 32, colour);
                image.save(folder.join(format!("{i:02}.png"))).unwrap();
            }
        }
    }
    data
}

const FOLDER: &str = r#"
[data]
dataset = "folder"
val-fraction = 0.25
image-size = 32
cache = false
[model]
backbone = "resnet8"
[train]
epochs = 1
batch-size = 8
"#;

#[test]
fn images_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = class_folders(folder.path());
    let with_dir = FOLDER.replace("[model]", &format!("dir = {:?}\n[model]", text(&data)));

    let broken = data.join("train/dark/03.png");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    assert_names(&train(folder.path(), &with_dir, &[]), &["03.png"]);

    let recipe = recipe(folder.path(), &with_dir);
    let run = folder.path().join("skipping");
    let output = offramp(&["train", text(&recipe), "--out", text(&run)])
        .args(["--set", "data.on-error=skip"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("03.png"),
        "the skipped image is named: {said}"
    );

    std::fs::create_dir_all(data.join("train/empty")).unwrap();
    assert_names(&train(folder.path(), &with_dir, &[]), &["empty"]);
}

#[test]
fn broken_cifar_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("cifar-100-lowdata");
    std::fs::create_dir_all(&data).unwrap();
    let names: String = (0..100).map(|class| format!("class{class}\n")).collect();
    std::fs::write(data.join("fine_label_names.txt"), names).unwrap();
    let record = |label: u8| [vec![0, label], vec![7; 3072]].concat();
    let records: Vec<u8> = (0..100).flat_map(record).collect();
    std::fs::write(data.join("test.bin"), &records).unwrap();
    let tiny = TINY
        .replace("\"generated\"", "\"cifar-100-lowdata\"")
        .replace("val-fraction = 0.25", "val-fraction = 0.0");

    std::fs::write(data.join("train.bin"), &records[..records.len() - 1]).unwrap();
    let message = train(folder.path(), &tiny, &["--data", text(folder.path())]);
    assert_names(&message, &["train.bin", "307399", "3074"]);

    let mut wrong = records.clone();
    wrong[3074 + 1] = 100;
    std::fs::write(data.join("train.bin"), wrong).unwrap();
    let message = train(folder.path(), &tiny, &["--data", text(folder.path())]);
    assert_names(&message, &["train.bin", "100"]);
}

/// A limit on the size of files stands in for a full disk: the write fails half-way.
#[cfg(unix)]
#[test]
fn a_full_disk_while_a_checkpoint_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), TINY);
    let run = folder.path().join("run");
    let train = ["train", text(&recipe), "--out", text(&run)];
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let output = std::process::Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_offramp")])
        .args(train)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && !message.contains("panicked"),
        "{message}"
    );
    assert!(message.contains("checkpoint"), "{message}");
    assert!(run.join("recipe.toml").exists(), "what was there stays");
    let left = std::fs::read_dir(run.join("checkpoints")).unwrap().count();
    assert_eq!(left, 0, "no half-written checkpoint");
    json(&[&train[..], &["--resume", "--json"]].concat());
}
