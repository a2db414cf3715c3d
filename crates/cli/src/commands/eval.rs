//! `offramp eval`: every exit of a trained network, scored.

use offramp_data::Split;
use offramp_train::EvalReport;

use super::print_json;
use crate::args::EvalArgs;
use crate::error::CliError;
use crate::run::Run;
use crate::table;

/// Scores a split, prints the report; the scores of the run's own test rows also go to `eval.json`.
pub fn run(args: &EvalArgs) -> Result<(), CliError> {
    let report = evaluate(args)?;
    match args.json {
        true => print_json(&report),
        false => {
            print(&report);
            Ok(())
        }
    }
}

/// Scores a split.
pub fn evaluate(args: &EvalArgs) -> Result<EvalReport, CliError> {
    let run = Run::open(&args.run, args.place.device)?;
    let splits = run.open_data(args.place.data.as_deref(), args.dataset.as_deref())?;
    let table = run.table(&splits, args.split, args.batch_size, args.workers)?;
    let costs = run.net.exit_costs(run.card.image);
    let report = EvalReport::new(&args.split.to_string(), &table, &costs);
    if args.dataset.is_none() && args.split == Split::Test {
        let json = serde_json::to_vec_pretty(&report).map_err(CliError::Json)?;
        offramp_core::files::write_atomic(&run.dir.join("eval.json"), &json)?;
    }
    Ok(report)
}

/// The report as a table.
pub fn print(report: &EvalReport) {
    println!("{} rows of the {} split", report.samples, report.split);
    let rows: Vec<Vec<String>> = (report.exits.iter())
        .map(|exit| {
            vec![
                exit.exit.to_string(),
                format!("{:.2} %", exit.top1),
                format!("{:.2} %", exit.top5),
                format!("{:.3}", exit.nll),
                format!("{:.2} %", exit.ece),
                table::macs(exit.macs as f64),
                table::macs(exit.params as f64),
            ]
        })
        .collect();
    let header = ["exit", "top-1", "top-5", "nll", "ece", "MACs", "parameters"];
    print!("{}", table::render(&header, &rows));
    println!("ensemble of all exits: top-1 {:.2} %", report.ensemble.top1);
}
