//! Training a recipe into a run folder.

mod data_parallel;
mod finish;
mod initial;
mod learner;
mod pass;
mod readings;
mod session;
mod state;
mod steps;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use offramp_core::{DeviceSpec, Precision};

use crate::log::RunLog;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::run_folder::RunFolder;
use crate::{EvalReport, TrainError};
use session::Session;

/// Settings of a run that are not part of the recipe.
pub struct TrainOptions<'a> {
    /// The run folder.
    pub out: PathBuf,
    /// Whether to resume the run in the folder.
    pub resume: bool,
    /// The folder of the data sets.
    pub data_root: Option<PathBuf>,
    /// The device, instead of the recipe's.
    pub device: Option<DeviceSpec>,
    /// Receives progress events.
    pub progress: &'a mut dyn Progress,
    /// Stops after this number of steps of the whole run, without a last checkpoint, as if the process
    /// had been killed; for tests.
    pub stop_after_steps: Option<u64>,
}

/// The report of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainReport {
    /// The run folder.
    pub out: PathBuf,
    /// Steps done.
    pub steps: u64,
    /// The results; `None` when [`TrainOptions::stop_after_steps`] ended the run.
    pub outcome: Option<Outcome>,
}

/// The results of a finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The step whose weights are the model: the last, or the best by validation.
    pub model_step: u64,
    /// Whether training ended early.
    pub stopped_early: bool,
    /// The model on the validation images, if there are any.
    pub val: Option<EvalReport>,
    /// The model on the test images.
    pub test: EvalReport,
    /// Seconds of training, over all the times the run was resumed.
    pub seconds: f64,
}

/// Trains a recipe; see [`RunFolder`] for what it leaves behind.
///
/// A run that was killed at any moment and is resumed ends, on the CPU, with the same weights bit
/// for bit as one that was never interrupted: a checkpoint holds everything that training changes,
/// and every random choice is a function of seed, epoch and sample. A run that is resumed after it
/// was finished evaluates its model anew.
///
/// # Errors
/// Whatever is wrong with the recipe, the data, the run folder or a checkpoint, and
/// [`TrainError::NotFinite`] when the loss is; what was written before stays.
pub fn train(recipe: &Recipe, options: TrainOptions<'_>) -> Result<TrainReport, TrainError> {
    let device = device(recipe, &options);
    if recipe.train.precision != Precision::F32 {
        recipe.train.precision.check(device, &device.device()?)?;
    }
    let out = &options.out;
    let folder = if options.resume {
        RunFolder::reopen(out, recipe)?
    } else {
        RunFolder::create(out, recipe)?
    };
    let _log = RunLog::start(&folder.log())?;
    let result = run(recipe, folder, device, options);
    if let Err(error) = &result {
        tracing::info!("stopped: {error}");
    }
    result
}

/// The device of the run.
fn device(recipe: &Recipe, options: &TrainOptions) -> DeviceSpec {
    options.device.unwrap_or(recipe.device).best()
}

fn run(
    recipe: &Recipe,
    folder: RunFolder,
    device: DeviceSpec,
    options: TrainOptions<'_>,
) -> Result<TrainReport, TrainError> {
    let TrainOptions {
        data_root,
        progress,
        stop_after_steps,
        ..
    } = options;
    let out = folder.folder().to_owned();
    let mut session = Session::open(recipe, folder, data_root.as_deref(), device, progress)?;
    let finished = session.train(stop_after_steps)?;
    let steps = session.steps_done();
    let outcome = if finished {
        Some(session.finish()?)
    } else {
        None
    };
    Ok(TrainReport {
        out,
        steps,
        outcome,
    })
}
