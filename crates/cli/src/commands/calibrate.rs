//! `offramp calibrate`: thresholds from validation rows, scores on test rows.

use offramp_data::Split;
use offramp_policies::{
    BudgetCurve, Criterion, FitRows, FitSplit, OperatingPoint, PolicyFile, ScoreRows, ScoreSplit,
    Target, budget_curve, evaluate, fit,
};
use serde::Serialize;

use super::print_json;
use crate::args::CalibrateArgs;
use crate::error::CliError;
use crate::run::Run;
use crate::table;

/// Without a target, `policy.json` gets the cheapest thresholds at most this many points below the
/// deepest exit.
const DEFAULT_DROP: f64 = 1.0;

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
    if args.max_macs.is_some() || args.max_drop.is_some() {
        document.curve.rows = vec![document.scored.clone()];
    }
    match args.json {
        true => print_json(&document),
        false => {
            print(args, &document, 1);
            Ok(())
        }
    }
}

/// Fits, scores and writes `policy.json`; the curve is MSDNet's 39 budgets, with a target too.
pub fn calibrate(args: &CalibrateArgs) -> Result<Document, CliError> {
    let run = Run::open(&args.run, args.place.device)?;
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
    let costs = run.net.exit_costs(run.card.image);
    let macs: Vec<u64> = costs.iter().map(|cost| cost.macs).collect();
    let full_macs = macs.last().copied().unwrap_or_default();

    let target = target(args, full_macs)?;
    let val = run.table(&splits, Split::Val, args.batch_size, None)?;
    let test = run.table(&splits, Split::Test, args.batch_size, None)?;
    let fit_rows = FitRows::new(FitSplit::Val, val);
    let score_rows = ScoreRows::new(ScoreSplit::Test, test);

    let curve = budget_curve(&fit_rows, &score_rows, args.criterion, &macs)?;
    let fitted = fit(&fit_rows, args.criterion, &macs, target)?;
    let scored = evaluate(&fitted.policy, score_rows.table(), &macs)?;
    let policy = PolicyFile::new(
        run.card.sha256.clone(),
        &fit_rows,
        fitted.policy,
        fitted.on_fit,
    );
    policy.write(&run.dir.join("policy.json"))?;
    let top1 = score_rows
        .table()
        .metrics()
        .last()
        .map_or(0.0, |exit| exit.top1);
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
pub fn print(args: &CalibrateArgs, document: &Document, step: usize) {
    let full = document.full;
    println!(
        "{} thresholds, fitted on validation rows, scored on test rows",
        args.criterion
    );
    let rows: Vec<Vec<String>> = (document.curve.rows.iter().step_by(step))
        .map(|point| cells(args.criterion, point, full))
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
}

fn cells(criterion: Criterion, point: &OperatingPoint, full: Full) -> Vec<String> {
    let fractions = point.exit_fractions.iter().map(|n| format!("{n:.2}"));
    let early = point.thresholds.len().saturating_sub(1);
    let thresholds = point.thresholds[..early].iter().map(|&t| match t {
        t if t == criterion.never() => "never".to_owned(),
        t if t == criterion.always() => "always".to_owned(),
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
