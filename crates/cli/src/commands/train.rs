//! `offramp train`: a recipe into a run folder.

use std::path::Path;

use offramp_core::DeviceSpec;
use offramp_train::{Recipe, TrainOptions, progress, train};

use super::{eval, print_json};
use crate::args::TrainArgs;
use crate::error::CliError;

/// Trains and prints the scores of the result.
pub(crate) fn run(args: &TrainArgs) -> Result<(), CliError> {
    let recipe = Recipe::load(&args.recipe, &args.settings())?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => Path::new("runs").join(&recipe.name),
    };
    // `auto` leaves the choice to the recipe, which is `auto` too unless it names a device.
    let device = (args.place.device != DeviceSpec::Auto).then_some(args.place.device);
    let mut progress = progress::for_terminal();
    let report = train(
        &recipe,
        TrainOptions {
            out,
            resume: args.resume,
            data_root: args.place.data.clone(),
            device,
            progress: progress.as_mut(),
            stop_after_steps: None,
        },
    )?;
    let Some(outcome) = report.outcome else {
        return Ok(());
    };
    if args.json {
        print_json(&outcome.test)
    } else {
        eval::print(&outcome.test);
        println!("run folder: {}", report.out.display());
        Ok(())
    }
}
