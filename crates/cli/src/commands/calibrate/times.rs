//! Thresholds and deadlines from times measured on this machine.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_executor::MultiExitExecutor;
use offramp_infer::{exit_times, quantile};
use offramp_policies::{FitRows, Fitted, PolicyEntry, Target, evaluate};

use crate::args::CalibrateArgs;
use crate::engine::{EngineKind, compiled_exits};
use crate::error::CliError;
use crate::run::Run;

/// Images timed for a deadline, and the share of them that each exit must be in time for.
const TIMED_RUNS: usize = 200;
const TIMED_SHARE: f64 = 0.95;

/// Images before them that do not count.
const TIMED_WARM_UP: usize = 5;

/// The most accurate thresholds whose mean time of an image is at most `limit` milliseconds.
pub fn in_time(
    args: &CalibrateArgs,
    run: &Run,
    entry: &PolicyEntry,
    rows: &FitRows,
    macs: &[u64],
    limit: f64,
) -> Result<Fitted, CliError> {
    let nanoseconds: Vec<u64> = (timed(args, run)?.iter())
        .map(|times| (1e6 * quantile(times, 0.5)).round() as u64)
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
pub fn deadline(
    args: &CalibrateArgs,
    run: &Run,
    entry: &PolicyEntry,
    rows: &FitRows,
    macs: &[u64],
    limit: f64,
) -> Result<Fitted, CliError> {
    let exit_ms = timed(args, run)?
        .iter()
        .map(|times| quantile(times, TIMED_SHARE))
        .collect();
    let policy = (entry.from_times)(exit_ms, limit)?;
    let on_fit = evaluate(&policy, rows.table(), macs)?;
    Ok(Fitted { policy, on_fit })
}

/// Milliseconds of single images to each exit, from fast to slow, on the engine that `predict` uses.
fn timed(args: &CalibrateArgs, run: &Run) -> Result<Vec<Vec<f64>>, CliError> {
    match args.engine.kind(args.place.device)? {
        EngineKind::Compiled => compiled_times(args, run),
        EngineKind::Burn => {
            let image = run.card.image;
            let shape = [1, image.channels, image.height, image.width];
            let x = Tensor::zeros(shape, &run.device);
            Ok(exit_times(&run.net.valid(), &x, TIMED_RUNS))
        }
    }
}

/// As [`exit_times`], by the compiled engine.
fn compiled_times(args: &CalibrateArgs, run: &Run) -> Result<Vec<Vec<f64>>, CliError> {
    let plan = args.engine.multi_exit_plan(&run.net, &run.card, 1, None)?;
    let image = vec![0.0; plan.pixels()];
    let mut times = vec![Vec::with_capacity(TIMED_RUNS); plan.num_exits()];
    let mut executor = MultiExitExecutor::new(plan);
    for round in 0..TIMED_WARM_UP + TIMED_RUNS {
        let exits = compiled_exits(&mut executor, &image)?;
        for (times, ms) in times.iter_mut().zip(exits) {
            if round >= TIMED_WARM_UP {
                times.push(ms);
            }
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    Ok(times)
}
