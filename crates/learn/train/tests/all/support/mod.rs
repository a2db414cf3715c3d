//! A tiny run and how to compare two.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fs;
use std::path::Path;

use offramp_core::DeviceSpec;
use offramp_data::Split;
use offramp_heads::MultiExitNet;
use offramp_train::progress::Silent;
use offramp_train::{
    EvalOptions, EvalReport, Recipe, TrainError, TrainOptions, TrainReport, train,
};
use serde_json::Value;

/// Steps of [`recipe`]: 3 epochs of 48 training images in batches of 12.
pub(crate) const STEPS: u64 = 12;

/// ResNet-8 on 60 generated images; a checkpoint every second step.
pub(crate) fn recipe(method: &str, settings: &[&str]) -> Recipe {
    let text = format!(
        "seed = 3
        [data]
        dataset = 'generated'
        val-fraction = 0.2
        generated = {{ train = 60, test = 20 }}
        [model]
        backbone = 'resnet8'
        [method]
        name = '{method}'
        [train]
        epochs = 3
        batch-size = 12
        eval-batch-size = 7
        log-every = 2
        [train.optimizer]
        lr = 0.05
        [train.checkpoint]
        every-steps = 2"
    );
    Recipe::parse(&text, "tiny.toml".as_ref(), settings).unwrap()
}

pub(crate) fn run(
    recipe: &Recipe,
    out: &Path,
    resume: bool,
    stop_after_steps: Option<u64>,
) -> Result<TrainReport, TrainError> {
    train(
        recipe,
        TrainOptions {
            out: out.to_owned(),
            resume,
            data_root: None,
            device: Some(DeviceSpec::from_env().unwrap()),
            progress: &mut Silent,
            stop_after_steps,
        },
    )
}

/// The test images of [`recipe`] with the given number of loader workers.
pub(crate) fn evaluate(net: &MultiExitNet, workers: usize) -> EvalReport {
    let recipe = recipe("plain", &[]);
    let splits = offramp_data::open(&recipe.data, None).unwrap();
    let options = EvalOptions {
        workers,
        ..EvalOptions::from(&recipe.train)
    };
    let shape = splits.info.shape;
    let image = offramp_core::MapShape::new(shape.channels, shape.height, shape.width);
    let rows = &splits.test;
    let table = offramp_train::evaluate(net, rows, Split::Test, &splits.info, &options).unwrap();
    EvalReport::new("test", &table, &net.exit_costs(image))
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub(crate) fn metrics(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Everything but the clock: weights, optimiser, method, averages, metrics and score.
pub(crate) fn assert_same_run(a: &Path, b: &Path) {
    for file in ["model.safetensors", "eval.json", "recipe.toml"] {
        let same = fs::read(a.join(file)).unwrap() == fs::read(b.join(file)).unwrap();
        assert!(same, "{file} of {} and {}", a.display(), b.display());
    }
    let last = |out: &Path| {
        let mut all: Vec<_> = out
            .join("checkpoints")
            .read_dir()
            .unwrap()
            .flatten()
            .collect();
        all.sort_by_key(|entry| entry.file_name());
        offramp_train::checkpoint::read(&all.last().unwrap().path()).unwrap()
    };
    let (a_end, b_end) = (last(a), last(b));
    assert!(a_end.net == b_end.net && a_end.method == b_end.method);
    assert!(a_end.ema == b_end.ema && a_end.optimizer == b_end.optimizer);
    assert_eq!(a_end.position.method, b_end.position.method);
    assert_eq!(a_end.position.best, b_end.position.best);
    assert_eq!(a_end.position.kept, b_end.position.kept);
    let timeless = |out: &Path| {
        let mut lines = metrics(out);
        for line in &mut lines {
            let fields = line.as_object_mut().unwrap();
            fields.remove("seconds");
            fields.remove("images_per_second");
        }
        lines
    };
    assert_eq!(timeless(a), timeless(b));
}
