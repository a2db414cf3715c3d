//! Runs the program and reads its output.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A small run on the generated set: seconds, not minutes.
pub(crate) const TINY: &str = r#"
name = "tiny"
seed = 1

[data]
dataset = "generated"
val-fraction = 0.25
generated = { train = 320, test = 96 }

[model]
backbone = "resnet8"

[method]
name = "mate"

[train]
epochs = 2
batch-size = 32
[train.optimizer]
name = "sgd"
lr = 0.05
[train.checkpoint]
every-steps = 3
"#;

/// The program, with no data folder in its environment.
pub(crate) fn offramp(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offramp"));
    command.args(args).env_remove("OFFRAMP_DATA");
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    offramp(args).output().expect("the program starts")
}

/// Runs the program, which must succeed, and reads the one JSON document on its stdout.
pub(crate) fn json(args: &[&str]) -> Value {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON document")
}

/// Runs the program, which must fail in an orderly way, and returns its message.
pub(crate) fn failure(args: &[&str]) -> String {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?} succeeded");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    assert!(output.status.code().is_some(), "{args:?} was killed");
    stderr
}

/// Writes a recipe and returns its path.
pub(crate) fn recipe(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("recipe.toml");
    std::fs::write(&path, text).expect("the folder can be written");
    path
}

/// The public CIFAR-100 ResNet-56, in the data folder.
pub(crate) const RESNET56: &str = "weights/cifar100_resnet56-f2eff4c8.pt";

/// Arguments that import it, with the normalisation that it was trained with.
pub(crate) fn import_resnet56<'a>(weights: &'a Path, out: &'a str) -> Vec<&'a str> {
    let pixels = ["--mean", ".5070,.4865,.4409", "--std", ".2673,.2564,.2761"];
    let import = [
        "import",
        text(weights),
        "--backbone",
        "resnet56",
        "--out",
        out,
    ];
    [&import[..], &pixels].concat()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the temporary folder is UTF-8")
}

/// A message that names every part, and is the only error.
#[track_caller]
pub(crate) fn assert_names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    let errors = message
        .lines()
        .filter(|line| line.starts_with("error"))
        .count();
    assert_eq!(errors, 1, "one error: {message}");
}
