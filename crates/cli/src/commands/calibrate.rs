//! `offramp calibrate`: thresholds from validation rows, scores on test rows.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_data::Split;
use offramp_executor::StagedExecutor;
use offramp_infer::{exit_times, quantile};
use offramp_policies::{
    AnyPolicy, BudgetCurve, Criterion, DeadlinePolicy, EnsembleEntry, FitRows, FitSplit, Fitted,
    Guarantee, OperatingPoint, PolicyEntry, PolicyFile, Promise, RiskLoss, ScoreRows, ScoreSplit,
    Target, budget_curve, control, evaluate, fit_temperatures, threshold_path,
};
use serde::Serialize;

use super::print_json;
use crate::args::CalibrateArgs;
use crate::engine::{EngineKind, compiled_exits};
use crate::error::CliError;
use crate::run::Run;
use crate::table;

/// Without a target, `policy.json` gets the cheapest thresholds at most this many points below the
/// deepest exit.
const DEFAULT_DROP: f64 = 1.0;

/// Pictures timed for a deadline, and the share of them that each exit must be in time for.
const TIMED_RUNS: usize = 200;
const TIMED_SHARE: f64 = 0.95;

/// Pictures before them that do not count.
const TIMED_WARM_UP: usize = 5;

/// Thresholds tried for a guarantee.
const PATH_STEPS: usize = 100;

/// The JSON document; `rows` is the whole curve or, with a target, the one point that meets it.
#[derive(Debug, Serialize)]
pub struct Document {
    #[serde(flatten)]
    curve: BudgetCurve,
    policy: PolicyFile,
    /// What the policy of `policy.json` does on the test rows.
    scored: OperatingPoint,
    /// The deepest exit alone, on the test rows.
    full: Full,
}

/// The network without stopping early.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Full {
    /// Cost of the deepest exit.
    pub macs: u64,
    /// Accuracy of the deepest exit on the test rows, percent.
    pub top1: f64,
}

/// Fits, scores, prints and writes `policy.json`.
pub fn run(args: &CalibrateArgs) -> Result<(), CliError> {
    let mut document = calibrate(args)?;
    if args.max_macs.is_some() || args.max_drop.is_some() || args.max_mean_ms.is_some() {
        document.curve.rows = vec![document.scored.clone()];
    }
    match args.json {
        true => print_json(&document),
        false => {
            print(&document, 1);
            Ok(())
        }
    }
}

/// Fits, scores and writes `policy.json`; the curve is MSDNet's 39 budgets, with a target too, for a
/// policy that has thresholds on a criterion, and the one point for others.
pub fn calibrate(args: &CalibrateArgs) -> Result<Document, CliError> {
    let entry = PolicyEntry::named(&args.policy)?;
    let ensemble = args.ensemble.as_deref().map(EnsembleEntry::named);
    let ensemble = ensemble.transpose()?;
    check_options(args, &entry)?;
    let run = Run::open(&args.run, args.place.device)?;
    let costs = run.net.exit_costs(run.card.image);
    let macs: Vec<u64> = costs.iter().map(|cost| cost.macs).collect();
    let full_macs = macs.last().copied().unwrap_or_default();
    let target = target(args, full_macs)?;
    let (mut fit_rows, mut score_rows) = rows(args, &run)?;
    if args.temperatures {
        let temperatures = fit_temperatures(&fit_rows);
        fit_rows = fit_rows.with_temperatures(&temperatures)?;
        score_rows = score_rows.with_temperatures(&temperatures)?;
    }
    let full_top1 = |rows: &ScoreRows| rows.table().metrics().last().map_or(0.0, |exit| exit.top1);
    let top1 = full_top1(&score_rows);
    if let Some(ensemble) = ensemble {
        let ensemble = (ensemble.fit)(&fit_rows)?;
        fit_rows = fit_rows.with_ensemble(&ensemble)?;
        score_rows = score_rows.with_ensemble(&ensemble)?;
    }

    let guarantee = guarantee(args)?;
    let fitted = match (args.max_ms, guarantee, args.max_mean_ms) {
        (Some(limit), ..) => deadline(args, &run, &fit_rows, &macs, limit)?,
        (None, Some(guarantee), _) => promised(&entry, &fit_rows, &macs, guarantee)?,
        (None, None, Some(limit)) => in_time(args, &run, &entry, &fit_rows, &macs, limit)?,
        (None, None, None) => (entry.fit)(&fit_rows, &macs, target)?,
    };
    let scored = evaluate(&fitted.policy, score_rows.table(), &macs)?;
    let curve = match entry.criterion {
        Some(criterion) => budget_curve(&fit_rows, &score_rows, criterion, &macs)?,
        None => BudgetCurve {
            fitted_on: fit_rows.split(),
            scored_on: score_rows.split(),
            rows: vec![scored.clone()],
        },
    };
    let sum = run.card.sha256.clone();
    let mut policy = PolicyFile::new(sum, &fit_rows, fitted.policy, fitted.on_fit);
    policy.guarantee = guarantee;
    policy.write(&run.dir.join("policy.json"))?;
    Ok(Document {
        curve,
        policy,
        scored,
        full: Full {
            macs: full_macs,
            top1,
        },
    })
}

/// Refuses combinations that make no sense, before anything is computed.
fn check_options(args: &CalibrateArgs, entry: &PolicyEntry) -> Result<(), CliError> {
    let usage = |message: String| Err(CliError::Usage(message));
    let timed = entry.name == "deadline";
    if let Some(limit) = args.max_mean_ms
        && (timed || !(limit.is_finite() && limit > 0.0))
    {
        return usage(format!(
            "--max-mean-ms {limit}: write a time above 0; --policy deadline takes --max-ms"
        ));
    }
    if timed && args.max_ms.is_none() {
        return usage("--policy deadline needs a limit for one picture, --max-ms".to_owned());
    }
    if !timed && args.max_ms.is_some() {
        return usage(format!(
            "--max-ms is for --policy deadline; --policy {} takes --max-macs or --max-drop",
            entry.name
        ));
    }
    if args.guarantee.is_some() && entry.criterion.is_none() {
        return usage(format!(
            "--guarantee is for policies with thresholds (confidence, entropy, margin), not for {}",
            entry.name
        ));
    }
    Ok(())
}

/// The validation and the test rows of a run that has some of both and exits to choose from.
fn rows(args: &CalibrateArgs, run: &Run) -> Result<(FitRows, ScoreRows), CliError> {
    if run.net.num_exits() == 1 {
        return Err(CliError::Usage(format!(
            "{} has one exit: there are no thresholds to choose; a recipe with [model] init-from = \
             {:?} trains exits for it",
            run.dir.display(),
            run.dir.display().to_string(),
        )));
    }
    let splits = run.open_data(args.place.data.as_deref(), None)?;
    if splits.val.is_empty() {
        return Err(CliError::Usage(format!(
            "{}: the run has no validation rows (val-fraction = 0), and thresholds must not be \
             fitted on rows that the network was trained or is scored on; train with a \
             val-fraction above 0",
            run.dir.display()
        )));
    }
    let val = run.table(&splits, Split::Val, args.batch_size, None)?;
    let test = run.table(&splits, Split::Test, args.batch_size, None)?;
    Ok((
        FitRows::new(FitSplit::Val, val),
        ScoreRows::new(ScoreSplit::Test, test),
    ))
}

/// The most accurate thresholds whose mean time of a picture is at most `limit` milliseconds.
fn in_time(
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

/// The deadline policy for this machine, from times of single pictures measured here and now.
fn deadline(
    args: &CalibrateArgs,
    run: &Run,
    rows: &FitRows,
    macs: &[u64],
    limit: f64,
) -> Result<Fitted, CliError> {
    let exit_ms = timed(args, run)?
        .iter()
        .map(|times| quantile(times, TIMED_SHARE))
        .collect();
    let policy = AnyPolicy::Deadline(DeadlinePolicy::new(exit_ms, limit)?);
    let on_fit = evaluate(&policy, rows.table(), macs)?;
    Ok(Fitted { policy, on_fit })
}

/// Milliseconds of single pictures to each exit, from fast to slow, on the engine that `predict` uses.
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
    let plan = args.engine.staged_plan(&run.net, &run.card, 1, None)?;
    let image = vec![0.0; plan.pixels()];
    let mut times = vec![Vec::with_capacity(TIMED_RUNS); plan.num_exits()];
    let mut staged = StagedExecutor::new(plan);
    for round in 0..TIMED_WARM_UP + TIMED_RUNS {
        let exits = compiled_exits(&mut staged, &image)?;
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

/// The cheapest threshold, one for all exits, for which the guarantee holds.
fn promised(
    entry: &PolicyEntry,
    rows: &FitRows,
    macs: &[u64],
    guarantee: Guarantee,
) -> Result<Fitted, CliError> {
    let criterion = entry.criterion.unwrap_or(Criterion::Confidence);
    let table = rows.table();
    let path = threshold_path(criterion, table.exits(), table.classes(), PATH_STEPS)?;
    let controlled = control(rows, &path, macs, guarantee)?;
    Ok(Fitted {
        policy: controlled.policy,
        on_fit: controlled.on_fit,
    })
}

/// `95%`, `0.95` or `mean`, with the drop in accuracy as loss.
fn guarantee(args: &CalibrateArgs) -> Result<Option<Guarantee>, CliError> {
    let Some(text) = args.guarantee.as_deref() else {
        return Ok(None);
    };
    let promise = match text.trim() {
        "mean" => Promise::Mean,
        text => {
            let (number, unit) = match text.strip_suffix('%') {
                Some(number) => (number, 100.0),
                None => (text, 1.0),
            };
            match number.trim().parse::<f64>().map(|number| number / unit) {
                Ok(p) if p > 0.0 && p < 1.0 => Promise::Probability(p),
                _ => {
                    return Err(CliError::Usage(format!(
                        "--guarantee {text:?}: write a probability below 1, such as 95%, or `mean`"
                    )));
                }
            }
        }
    };
    Ok(Some(Guarantee {
        loss: RiskLoss::Drop,
        level: args.max_drop.unwrap_or(DEFAULT_DROP) / 100.0,
        promise,
    }))
}

fn target(args: &CalibrateArgs, full_macs: u64) -> Result<Target, CliError> {
    match (&args.max_macs, args.max_drop) {
        (Some(text), _) => Ok(Target::MaxMacs(parse_macs(text, full_macs)?)),
        (None, points) => Ok(Target::MaxDrop(points.unwrap_or(DEFAULT_DROP))),
    }
}

/// `12000000`, `12M`, `1.2G` or `60%` of the full network.
fn parse_macs(text: &str, full: u64) -> Result<f64, CliError> {
    let text = text.trim();
    let split = text.len() - usize::from(text.ends_with(['k', 'K', 'M', 'G', '%']));
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "%" => full as f64 / 100.0,
        _ => 1.0,
    };
    match number.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value * unit),
        _ => Err(CliError::Usage(format!(
            "--max-macs {text:?}: write a positive number, 30M, 1.2G, or 60% of the full network"
        ))),
    }
}

/// Every `step`-th row of the curve, the chosen policy and what it buys, for people.
pub fn print(document: &Document, step: usize) {
    let full = document.full;
    let criterion = document.policy.criterion;
    match criterion {
        Some(criterion) => {
            println!("{criterion} thresholds, fitted on validation rows, scored on test rows")
        }
        None => println!("fitted on validation rows, scored on test rows"),
    }
    let rows: Vec<Vec<String>> = (document.curve.rows.iter().step_by(step))
        .map(|point| cells(criterion, point, full))
        .collect();
    let header = [
        "mean MACs",
        "of full",
        "top-1",
        "leave at exit",
        "thresholds",
    ];
    print!("{}", table::render(&header, &rows));
    let scored = &document.scored;
    println!(
        "full network: {} MACs, top-1 {:.2} %",
        table::macs(full.macs as f64),
        full.top1
    );
    println!(
        "policy.json:  {} MACs ({:.1} % of full), top-1 {:.2} % ({:+.2} points)",
        table::macs(scored.mean_macs),
        100.0 * scored.mean_macs / full.macs as f64,
        scored.top1,
        scored.top1 - full.top1,
    );
    if let Some(guarantee) = document.policy.guarantee {
        let sense = match guarantee.promise {
            Promise::Probability(p) => format!("with probability {:.4}", p),
            Promise::Mean => "on average over validation rows".to_owned(),
        };
        println!(
            "guarantee:    at most {:.2} points below the full network on new pictures, {sense}",
            100.0 * guarantee.level
        );
    }
}

fn cells(criterion: Option<Criterion>, point: &OperatingPoint, full: Full) -> Vec<String> {
    let fractions = point.exit_fractions.iter().map(|n| format!("{n:.2}"));
    let early = point.thresholds.len().saturating_sub(1);
    let thresholds = point.thresholds[..early].iter().map(|&t| match t {
        t if criterion.is_some_and(|c| t == c.never()) => "never".to_owned(),
        t if criterion.is_some_and(|c| t == c.always()) => "always".to_owned(),
        t => format!("{t:.3}"),
    });
    let join = |texts: Vec<String>| texts.join(" ");
    vec![
        table::macs(point.mean_macs),
        format!("{:.1} %", 100.0 * point.mean_macs / full.macs as f64),
        format!("{:.2} %", point.top1),
        join(fractions.collect()),
        join(thresholds.collect()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        for (text, value) in [
            ("12000000", 12e6),
            ("12M", 12e6),
            ("1.5G", 1.5e9),
            ("60%", 600.0),
        ] {
            assert_eq!(parse_macs(text, 1000).unwrap(), value);
        }
        for text in ["", "M", "-3", "NaN", "inf", "3X", "%"] {
            assert!(
                parse_macs(text, 1000)
                    .unwrap_err()
                    .to_string()
                    .contains("60%"),
                "{text}"
            );
        }
    }
}
