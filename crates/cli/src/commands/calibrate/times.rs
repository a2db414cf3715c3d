//! Thresholds and deadlines from times measured on this machine.

use offramp_policies::{FitRows, Fitted, PolicyEntry, Readout, Target, evaluate};
use offramp_run::{ExitTimes, Repeats, rules_at_exits};

use crate::args::CalibrateArgs;
use crate::engine::engine;
use crate::error::CliError;
use crate::run::Run;

/// Images timed for a deadline, and the share of them that each exit must be in time for.
const TIMED_RUNS: usize = 200;
const TIMED_SHARE: f64 = 0.95;

/// Images before them that do not count.
const TIMED_WARM_UP: usize = 5;

/// The most accurate thresholds whose mean time of an image is at most `limit` milliseconds.
pub(crate) fn in_time(
    args: &CalibrateArgs,
    run: &Run,
    entry: &PolicyEntry,
    rows: &FitRows,
    macs: &[u64],
    limit: f64,
) -> Result<Fitted, CliError> {
    let nanoseconds: Vec<u64> = (timed(args, run)?.median().iter())
        .map(|ms| (1e6 * ms).round() as u64)
        .collect();
    let first = nanoseconds.first().copied().unwrap_or_default() as f64 / 1e6;
    if limit < first {
        return Err(CliError::Usage(format!(
            "--max-mean-ms {limit}: exit 0 alone takes {first:.3} ms here"
        )));
    }
    let fitted = (entry.fit)(rows, &nanoseconds, Target::MaxMacs(1e6 * limit))?;
    Ok(Fitted {
        on_fit: evaluate(&fitted.policy, rows.table(), macs)?,
        policy: fitted.policy,
    })
}

/// The policy with a time limit for this machine, from times of single images measured on this machine.
pub(crate) fn deadline(
    args: &CalibrateArgs,
    run: &Run,
    entry: &PolicyEntry,
    rows: &FitRows,
    macs: &[u64],
    limit: f64,
) -> Result<Fitted, CliError> {
    let exit_ms = timed(args, run)?.quantile(TIMED_SHARE);
    let policy = (entry.from_times)(exit_ms, limit)?;
    let on_fit = evaluate(&policy, rows.table(), macs)?;
    Ok(Fitted { policy, on_fit })
}

/// Times of single images to each exit, on the engine that `predict` uses.
fn timed(args: &CalibrateArgs, run: &Run) -> Result<ExitTimes, CliError> {
    let mut engine = engine(
        &args.engine,
        args.place.device,
        &run.net,
        &run.card,
        1,
        &run.device,
    )?;
    let image = vec![0.0; run.image_len()];
    let repeats = Repeats {
        warm_up: TIMED_WARM_UP,
        runs: TIMED_RUNS,
        patience: None,
    };
    let rules = rules_at_exits(run.net.num_exits(), &Readout::default())?;
    let times = ExitTimes::measure(engine.as_mut(), &image, 1, &rules, repeats);
    times.map_err(|source| CliError::NoAnswer {
        run: run.dir.clone(),
        source,
    })
}
