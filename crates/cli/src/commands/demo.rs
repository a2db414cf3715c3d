//! `offramp demo`: the main job on images that the program draws itself.

use std::path::Path;
use std::time::Instant;

use offramp_run::RunPaths;
use offramp_run::files::FileError;
use offramp_train::{Recipe, TrainOptions, progress, train};

use super::{calibrate, eval};
use crate::args::{CalibrateArgs, DemoArgs, Place};
use crate::engine::EngineArgs;
use crate::error::CliError;

/// The recipe is part of the program, so that the demo needs no files.
const RECIPE: &str = include_str!("../../recipes/demo.toml");

/// What the demo's policy may spend on average, of the full network's cost.
const BUDGET: &str = "65%";

/// Trains, evaluates and calibrates.
pub(crate) fn run(args: &DemoArgs) -> Result<(), CliError> {
    let start = Instant::now();
    let recipe = Recipe::parse(RECIPE, Path::new("recipes/demo.toml"), &args.set)?;
    remove_earlier_demo(&args.out, &recipe)?;
    let mut progress = progress::for_terminal();
    let report = train(
        &recipe,
        TrainOptions {
            out: args.out.clone(),
            resume: false,
            data_root: None,
            device: Some(args.device),
            progress: progress.as_mut(),
            stop_after_steps: None,
        },
    )?;
    if let Some(outcome) = &report.outcome {
        println!("\nEvery exit, if all images left there:");
        eval::print(&outcome.test);
    }

    println!("\nWhat a budget buys:");
    let calibration = CalibrateArgs {
        engine: EngineArgs::default(),
        run: args.out.clone(),
        policy: "confidence".to_owned(),
        ensemble: None,
        temperatures: false,
        max_macs: Some(BUDGET.to_owned()),
        max_mean_ms: None,
        max_drop: None,
        guarantee: None,
        max_ms: None,
        batch_size: 128,
        place: Place {
            data: None,
            device: args.device,
        },
        json: false,
    };
    let document = calibrate::calibrate(&calibration)?;
    calibrate::print(&document, 3);
    println!(
        "\ndone in {} s; everything lies in {}, try `offramp predict {} IMAGE`",
        start.elapsed().as_secs(),
        args.out.display(),
        args.out.display()
    );
    Ok(())
}

/// An earlier demo is replaced; a folder that holds anything else is not touched.
fn remove_earlier_demo(out: &Path, recipe: &Recipe) -> Result<(), CliError> {
    let earlier = RunPaths::new(out).recipe();
    if !earlier.exists() {
        return Ok(());
    }
    let found = Recipe::load::<&str>(&earlier, &[]);
    if !found.is_ok_and(|found| found.name == recipe.name) {
        return Err(CliError::Usage(format!(
            "{} holds a run that is no demo; choose another folder with --out",
            out.display()
        )));
    }
    std::fs::remove_dir_all(out).map_err(|source| {
        CliError::File(FileError::Write {
            path: out.to_owned(),
            source,
        })
    })
}
