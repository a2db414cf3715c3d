//! Whole reports of small made-up runs.

mod damaged;
mod outline;
mod page;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use outline::well_formed;
use serde_json::json;

use offramp_run::{Gallery, GalleryImage};

use crate::Report;

/// A run of two exits whose numbers can be computed in the head.
struct Made {
    name: &'static str,
    seed: u64,
    /// Top-1 of the two exits.
    top1: [f64; 2],
}

const MODEL: &str = "feed000000000000000000000000000000000000000000000000000000000000";

/// The smallest PNG there is, one grey pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mOoBwAAgQCAGN5p8gAAAABJRU5ErkJggg==";

impl Made {
    fn write(&self, parent: &Path) -> PathBuf {
        let folder = parent.join(format!(
            "{}-{}",
            self.name.replace(['<', '>', '/'], ""),
            self.seed
        ));
        fs::create_dir_all(&folder).unwrap();
        let recipe = format!(
            "name = \"{}\"\nseed = {}\n[method]\nname = \"mate\"\n",
            self.name, self.seed
        );
        fs::write(folder.join("recipe.toml"), recipe).unwrap();
        let classes = ["cat", "<script>alert(1)</script>"];
        Self::write_json(&folder, "model.json", &card(&classes, MODEL));
        Self::write_json(&folder, "eval.json", &self.scores());
        let epoch = |epoch: u64| {
            json!({
                "kind": "epoch", "step": 4 * epoch, "epoch": epoch, "lr": 0.1, "loss": 3.0 / epoch as f64,
                "terms": {"ce/0": 2.0, "ce/1": 1.0, "kd/0": 0.5}, "train_top1": [10.0, 20.0],
                "scalars": {"teacher/0/0": 0.25, "teacher/0/1": 0.75, "temperature": 3.0},
                "images_per_second": 1.0, "seconds": epoch
            })
        };
        let end = json!({
            "kind": "final", "step": 8, "model_step": 8, "stopped_early": false, "val": null,
            "test": self.scores(), "seconds": 2.0
        });
        let start = json!({"kind": "start", "format": 2, "device": "cpu"});
        let lines = [start, epoch(1), epoch(2), end].map(|line| format!("{line}\n"));
        fs::write(folder.join("metrics.jsonl"), lines.concat()).unwrap();
        folder
    }

    fn scores(&self) -> serde_json::Value {
        let exit = |exit: usize| {
            json!({
                "exit": exit, "top1": self.top1[exit], "top5": 100.0, "nll": 1.0, "ece": 2.0,
                "macs": 10_000_000 * (exit + 1), "params": 1000
            })
        };
        json!({"split": "test", "samples": 4, "exits": [exit(0), exit(1)], "ensemble": {"top1": 50.0}})
    }

    /// What `calibrate --json`, `report --measure` and other programs add.
    fn write_extras(folder: &Path) {
        let point = |early: f64, top1: f64| {
            json!({
                "thresholds": [0.5, 0.0], "exit_fractions": [early, 1.0 - early],
                "mean_macs": 1e7 * (2.0 - early), "top1": top1
            })
        };
        Self::write_json(
            folder,
            "calibrate.json",
            &json!({
                "fitted_on": "val", "scored_on": "test", "rows": [point(1.0, 40.0), point(0.5, 55.0)],
                "policy": {
                    "format_version": 1, "model": MODEL, "criterion": "confidence",
                    "fitted_on": {"split": "val", "samples": 4},
                    "policy": {"kind": "confidence", "thresholds": [0.5, 0.0]}, "expected": point(0.5, 50.0)
                },
                "scored": point(0.5, 55.0), "full": {"macs": 2, "top1": 60.0}
            }),
        );
        let confidence = [0.9, 0.6, 0.6, 0.3];
        Self::write_json(
            folder,
            "rows.json",
            &json!({
                "split": "test", "model": MODEL, "labels": [0, 0, 1, 1],
                "exits": [
                    {"prediction": [0, 0, 0, 1], "confidence": confidence},
                    {"prediction": [0, 0, 1, 1], "confidence": confidence}
                ],
                "taken": [0, 1, 1, 1]
            }),
        );
        Self::write_json(
            folder,
            "latency.json",
            &json!({"hardware": "a <fast> machine", "exits_ms": [1.0, 3.0]}),
        );
        let image = |exit: usize, prediction: &str| GalleryImage {
            exit,
            label: "cat".into(),
            prediction: prediction.into(),
            confidence: 0.5,
            png: PNG.into(),
        };
        let gallery = Gallery {
            policy: "confidence".into(),
            images: vec![image(1, "cat"), image(0, "dog"), image(0, "cat")],
        };
        Self::write_json(
            folder,
            "gallery.json",
            &serde_json::to_value(gallery).unwrap(),
        );
    }

    fn write_json(folder: &Path, file: &str, value: &serde_json::Value) {
        fs::write(folder.join(file), value.to_string()).unwrap();
    }
}

/// A `model.json` of a network with other classes or weights.
fn card(classes: &[&str], sha256: &str) -> serde_json::Value {
    let shape = json!({"channels": 3, "height": 4, "width": 4});
    json!({
        "format": 1, "net": {"backbone": "resnet20"}, "classes": classes, "image": shape, "resize": shape,
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "dataset": "d", "commit": "c0ffee",
        "sha256": sha256
    })
}

/// Two seeds of one experiment, the first with everything, and a third run of another.
fn three_runs(parent: &Path) -> Report {
    let first = Made {
        name: "mate",
        seed: 0,
        top1: [40.0, 60.0],
    };
    let second = Made {
        name: "mate",
        seed: 1,
        top1: [44.0, 62.0],
    };
    let other = Made {
        name: "</title><script>x</script>",
        seed: 0,
        top1: [30.0, 50.0],
    };
    let folders = [&first, &second, &other].map(|run| run.write(parent));
    Made::write_extras(&folders[0]);
    Report::read(&folders).unwrap()
}
