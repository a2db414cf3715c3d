//! A run killed with SIGKILL and resumed ends with the weights of one that was not.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::{TINY, failure, json, offramp, recipe, text};

fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("model.safetensors")).expect("the run is finished")
}

/// Lines of kind `step` in the metrics so far.
fn steps(run: &Path) -> usize {
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    metrics
        .lines()
        .filter(|line| line.contains("\"step\""))
        .count()
}

fn kill_after(run: &Path, mut child: Child, wanted: usize) {
    let start = Instant::now();
    while steps(run) < wanted {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no step was logged"
        );
        if child.try_wait().expect("the child can be asked").is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("the child can be killed");
    child.wait().expect("the child has ended");
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), TINY);
    let train = |out: &Path, more: &[&str]| {
        let mut args = vec!["train", text(&recipe), "--out", text(out)];
        args.extend(["--set", "train.log-every=1"]);
        args.extend(more);
        args.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let whole = folder.path().join("whole");
    let args = train(&whole, &["--json"]);
    json(&args.iter().map(String::as_str).collect::<Vec<_>>());

    // In the first epoch between two checkpoints, and in the second.
    for wanted in [4, 10] {
        let broken = folder.path().join(format!("killed-after-{wanted}"));
        let args = train(&broken, &[]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let child = offramp(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        kill_after(&broken, child, wanted);
        assert!(
            !broken.join("model.json").exists(),
            "it was killed before its end"
        );

        let error = failure(&args);
        assert!(error.contains("--resume"), "{error}");

        let resumed = train(&broken, &["--resume", "--json"]);
        json(&resumed.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(
            weights(&broken) == weights(&whole),
            "killed after {wanted} steps"
        );
        assert_eq!(steps(&broken), steps(&whole), "no line is doubled or lost");
    }
}
