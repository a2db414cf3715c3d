//! Times to each exit, measured when a model is loaded.

use std::time::Duration;

use offramp_run::{ExitTimes, Repeats};

use crate::model::Card;
use crate::{Engine, LoadError};

/// Images timed for each exit, and the time spent on that at most.
const RUNS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(2);

/// The share of the images that an exit's time is enough for.
const SHARE: f64 = 0.95;

/// For each exit the time from an image to its answer, alone in the engine, ms.
///
/// # Errors
/// When the engine does not answer: better now than on a request.
pub(crate) fn exit_times(engine: &mut dyn Engine, card: &Card) -> Result<Vec<f64>, LoadError> {
    let image = vec![0.0; card.input.len()];
    let exits = u32::try_from(card.exits()).unwrap_or(u32::MAX);
    let repeats = Repeats {
        warm_up: 0,
        runs: RUNS,
        patience: Some(PATIENCE.saturating_mul(exits)),
    };
    let times = ExitTimes::measure(engine, &image, 1, &card.at_exit, repeats)?;
    Ok(times.rising_quantile(SHARE))
}
