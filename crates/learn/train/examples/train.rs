//! Trains a recipe without the `offramp` program:
//! `cargo run --release -p offramp-train --example train -- RECIPE OUT [DATA] [KEY=VALUE...]`
//!
//! A folder that holds a run already is gone on with.

use std::error::Error;
use std::path::{Path, PathBuf};

use offramp_train::{Recipe, TrainOptions, progress, train};

fn main() -> Result<(), Box<dyn Error>> {
    let (settings, paths): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.contains('='));
    let [recipe, out, data @ ..] = paths.as_slice() else {
        return Err("RECIPE and OUT are needed".into());
    };
    let recipe = Recipe::load(Path::new(recipe), &settings)?;
    let out = PathBuf::from(out);
    let report = train(
        &recipe,
        TrainOptions {
            resume: out.join("metrics.jsonl").exists(),
            out,
            data_root: data.first().map(PathBuf::from),
            device: None,
            progress: progress::for_terminal().as_mut(),
            stop_after_steps: None,
        },
    )?;
    if let Some(outcome) = report.outcome {
        println!("{}", serde_json::to_string_pretty(&outcome.test)?);
    }
    Ok(())
}
