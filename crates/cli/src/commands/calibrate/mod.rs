//! `offramp calibrate`: thresholds from validation rows, scores on test rows.

mod options;
mod show;
mod times;

use offramp_data::Split;
use offramp_policies::{
    BudgetCurve, Criterion, EnsembleEntry, FitRows, FitSplit, Fitted, Guarantee, PolicyEntry,
    ScoreRows, ScoreSplit, budget_curve, control, evaluate, fit_temperatures, threshold_path,
};
use offramp_run::{Calibration, Document as _, Full, PolicyFile};

use super::print_json;
use crate::args::CalibrateArgs;
use crate::error::CliError;
use crate::run::Run;
use times::{deadline, in_time};

pub(crate) use show::print;

/// Thresholds tried for a guarantee.
const PATH_STEPS: usize = 100;

/// Fits, scores, prints and writes `policy.json`.
pub(crate) fn run(args: &CalibrateArgs) -> Result<(), CliError> {
    let mut document = calibrate(args)?;
    if args.max_macs.is_some() || args.max_drop.is_some() || args.max_mean_ms.is_some() {
        document.rows = document.scored.iter().cloned().collect();
    }
    if args.json {
        print_json(&document)
    } else {
        print(&document, 1);
        Ok(())
    }
}

/// Fits, scores and writes `policy.json`; the curve is MSDNet's 39 budgets, with a target too, for a
/// policy that has thresholds on a criterion, and the one point for others.
pub(crate) fn calibrate(args: &CalibrateArgs) -> Result<Calibration, CliError> {
    let entry = PolicyEntry::named(&args.policy)?;
    let ensemble = args.ensemble.as_deref().map(EnsembleEntry::named);
    let ensemble = ensemble.transpose()?;
    options::check(args, &entry)?;
    let run = Run::open(&args.run, args.place.device)?;
    let costs = run.net.exit_costs(run.card.image);
    let macs: Vec<u64> = costs.iter().map(|cost| cost.macs).collect();
    let full_macs = macs.last().copied().unwrap_or_default();
    let target = options::target(args, full_macs)?;
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

    let guarantee = options::guarantee(args)?;
    let fitted = match (args.max_ms, guarantee, args.max_mean_ms) {
        (Some(limit), ..) => deadline(args, &run, &entry, &fit_rows, &macs, limit)?,
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
    policy.write_to(&run.dir)?;
    let full = Full {
        macs: full_macs,
        top1,
    };
    Ok(Calibration::new(curve, policy, scored, full))
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
