//! `offramp import`: weights of other programs into run folders that the other commands take.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use offramp_core::{DeviceSpec, MapShape, params};
use offramp_heads::NetConfig;
use offramp_nn::Init;
use support::{RESNET56, TINY, assert_names, failure, import_resnet56, json, recipe, run, text};

/// The tensors of a ResNet-8 with three classes under names as other programs have them.
fn foreign(prefix: &str, shortcut: &str, classifier: &str) -> params::NamedTensors {
    let config = r#"{"backbone": "resnet8", "exits": [2]}"#;
    let config: NetConfig = serde_json::from_str(config).unwrap();
    let mut init = Init::new(7, &DeviceSpec::Cpu.device().unwrap());
    let net = config.init(3, MapShape::new(3, 32, 32), &mut init).unwrap();
    let name = |name: String| {
        let name = name
            .replace("backbone.", "")
            .replace("heads.0.fc", classifier);
        format!("{prefix}{}", name.replace("downsample", shortcut))
    };
    let tensors = params::collect(&net).into_iter();
    tensors.map(|(n, data)| (name(n), data)).collect()
}

fn write(folder: &Path, name: &str, tensors: &params::NamedTensors) -> PathBuf {
    let path = folder.join(name);
    let bytes = params::to_safetensors(tensors, BTreeMap::new()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn import<'a>(weights: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let args = [
        "import",
        text(weights),
        "--backbone",
        "resnet8",
        "--out",
        text(out),
    ];
    [&args, more].concat()
}

fn image(folder: &Path) -> PathBuf {
    let path = folder.join("image.png");
    let image = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, 90]));
    image.save(&path).unwrap();
    path
}

#[test]
fn an_imported_network_predicts_and_gets_early_exits() {
    let folder = tempfile::tempdir().unwrap();
    let weights = write(
        folder.path(),
        "w.safetensors",
        &foreign("module.", "shortcut", "linear"),
    );
    let classes = folder.path().join("classes.txt");
    std::fs::write(&classes, "cat\ndog\nbird\n").unwrap();
    let out = folder.path().join("imported");
    let more = [
        "--classes",
        text(&classes),
        "--mean",
        ".5,.4,.3",
        "--std",
        ".2,.2,.2",
        "--json",
    ];
    let document = json(&import(&weights, &out, &more));
    assert_eq!(document["classes"], 3);
    assert_eq!(document["tensors"], foreign("", "", "").len());
    assert_eq!(document["left_fresh"].as_array().unwrap().len(), 0);

    let image = image(folder.path());
    let output = run(&["predict", text(&out), text(&image), "--json"]);
    assert!(output.stderr.is_empty(), "no advice to calibrate one exit");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let class = answer["predictions"][0]["class"].as_str().unwrap();
    assert!(["cat", "dog", "bird"].contains(&class));
    assert_names(
        &failure(&["calibrate", text(&out)]),
        &["imported", "one exit", "init-from"],
    );
    assert_names(&failure(&["eval", text(&out)]), &["imported", "--dataset"]);
    let eval = ["eval", text(&out), "--dataset", "generated"];
    assert_names(&failure(&eval), &["imported", "3 classes", "10"]);
    assert_names(
        &failure(&import(&weights, &out, &[])),
        &["imported", "not empty"],
    );

    // Its backbone with the exits of a recipe; the classes are others, so all heads are fresh.
    let heads = TINY.replace(
        "\"resnet8\"",
        &format!(
            "\"resnet8\"\ninit-from = {:?}\nfreeze-backbone = true",
            text(&out)
        ),
    );
    let recipe = recipe(folder.path(), &heads);
    let trained = folder.path().join("trained");
    json(&["train", text(&recipe), "--out", text(&trained), "--json"]);
    let exits = json(&["eval", text(&trained), "--json"]);
    assert_eq!(exits["exits"].as_array().unwrap().len(), 3);
    let log = std::fs::read_to_string(trained.join("log.txt")).unwrap();
    assert!(log.contains("fresh: heads.0, heads.1, heads.2\n"), "{log}");
}

#[test]
fn what_does_not_match_is_listed_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let refused = |tensors: &params::NamedTensors, more: &[&str]| {
        let weights = write(folder.path(), "w.safetensors", tensors);
        let message = failure(&import(&weights, &out, more));
        assert!(!out.exists(), "{more:?}");
        message
    };
    let mut tensors = foreign("", "downsample", "fc");
    assert_names(
        &refused(&tensors, &["--num-classes", "10"]),
        &["w.safetensors", "fc.", "3", "10", "classes"],
    );
    assert_names(
        &refused(&tensors, &["--set", "shortcut=A"]),
        &["downsample.0.weight"],
    );
    assert_names(
        &refused(&tensors, &["--set", "shortcut=C"]),
        &["resnet8", "C"],
    );
    assert_names(&refused(&tensors, &["--set", "A"]), &["OPTION=VALUE"]);
    assert_names(&refused(&tensors, &["--rename", "fc"]), &["REGEX=NAME"]);
    let message = failure(&import(
        Path::new("w"),
        &out,
        &["--mean", "1,2", "--std", "1,1,1"],
    ));
    assert!(
        message.contains("--mean") && message.contains("1,2"),
        "{message}"
    );

    let stem = tensors.remove("conv1.weight").unwrap();
    tensors.insert("conv_1.weight".to_owned(), stem);
    let message = refused(&tensors, &[]);
    assert_names(
        &message,
        &["backbone.conv1.weight [16, 3, 3, 3], nearest: conv_1.weight"],
    );
    tensors.remove("conv_1.weight").unwrap();
    assert_names(
        &refused(&tensors, &[]),
        &["backbone.conv1.weight [16, 3, 3, 3]"],
    );
    let weights = write(folder.path(), "w.safetensors", &tensors);
    let document = json(&import(&weights, &out, &["--allow-missing", "--json"]));
    assert_eq!(document["left_fresh"][0], "backbone.conv1.weight");
}

#[test]
fn files_that_are_no_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../base/weights/tests/fixtures");
    for (name, parts) in [
        (
            "call.pt",
            &["call.pt", "posix.system", "nothing was run"][..],
        ),
        ("module.pt", &["module.pt", "Linear", "state_dict()"]),
        ("compressed.pt", &["compressed.pt", "compressed"]),
        ("no-tensors.pt", &["no-tensors.pt", "epoch"]),
        ("expected.json", &["expected.json", "neither"]),
        ("absent.pt", &["absent.pt", "cannot be read"]),
        (
            "checkpoint-legacy.th",
            &["checkpoint-legacy.th", "--num-classes"],
        ),
    ] {
        assert_names(&failure(&import(&fixtures.join(name), &out, &[])), parts);
    }
    let cut = folder.path().join("cut.pt");
    let whole = std::fs::read(fixtures.join("zip.pt")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert_names(&failure(&import(&cut, &out, &[])), &["cut.pt", "zip"]);
    assert!(!out.exists());
}

/// chenyaofo/pytorch-cifar-models publishes 72.63 % for these weights.
#[test]
fn the_published_accuracy_of_a_real_network() {
    let root = std::env::var_os("OFFRAMP_DATA").map(PathBuf::from);
    let weights = Path::new(RESNET56);
    let found =
        root.filter(|root| root.join(weights).exists() && root.join("cifar-100-lowdata").is_dir());
    let Some(root) = found else {
        eprintln!(
            "left out: OFFRAMP_DATA names no folder with {}",
            weights.display()
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("resnet56");
    let weights = root.join(weights);
    let document = json(&[&import_resnet56(&weights, text(&out))[..], &["--json"]].concat());
    assert_eq!(document["classes"], 100);
    let eval = [
        "eval",
        text(&out),
        "--dataset",
        "cifar-100-lowdata",
        "--data",
        text(&root),
        "--json",
    ];
    let report = json(&eval);
    assert_eq!(report["samples"], 10_000);
    let top1 = report["exits"][0]["top1"].as_f64().unwrap();
    assert!((top1 - 72.63).abs() < 0.05, "{top1}");
}
