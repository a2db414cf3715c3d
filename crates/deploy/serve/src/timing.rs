//! Times to each exit, measured when a model is loaded.

use std::time::{Duration, Instant};

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
    let image = vec![0.0; card.info.shape.bytes()];
    let mut times: Vec<f64> = Vec::with_capacity(card.exits());
    for rule in &card.at_exit {
        let mut runs = Vec::with_capacity(RUNS);
        let start = Instant::now();
        while runs.len() < RUNS && (runs.len() < 3 || start.elapsed() < PATIENCE) {
            let start = Instant::now();
            engine.admit(&image, rule)?;
            while engine.pending() > 0 {
                engine.step()?;
            }
            runs.push(1e3 * start.elapsed().as_secs_f64());
        }
        runs.sort_by(f64::total_cmp);
        let place = (SHARE * runs.len() as f64).ceil() as usize;
        let measured = runs[place.saturating_sub(1)];
        // A deeper exit is never earlier; noise must not make it so.
        times.push(measured.max(times.last().copied().unwrap_or_default()));
    }
    Ok(times)
}
