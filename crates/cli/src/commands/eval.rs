//! `offramp eval`: every exit of a trained network, scored.

use std::path::Path;

use offramp_data::Split;
use offramp_policies::{
    ExitTable, Oracle, Overthinking, ReliabilityBin, agreement, oracle, overthinking, reliability,
};
use offramp_run::{Document as _, EvalReport, files};
use safetensors::{Dtype, tensor::TensorView};
use serde::Serialize;

use super::print_json;
use crate::args::EvalArgs;
use crate::error::CliError;
use crate::run::Run;
use crate::table;

/// Scores a split, prints the report; the scores of the run's own test rows also go to `eval.json`.
pub(crate) fn run(args: &EvalArgs) -> Result<(), CliError> {
    let document = evaluate(args)?;
    if args.json {
        print_json(&document)
    } else {
        print(&document.report);
        if let Some(diagnostics) = &document.diagnostics {
            print_diagnostics(diagnostics);
        }
        Ok(())
    }
}

/// The report, and what was asked for besides.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: EvalReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<Diagnostics>,
}

/// What stopping early could gain.
#[derive(Serialize)]
struct Diagnostics {
    overthinking: Overthinking,
    oracle: Oracle,
    /// Percent of the rows on which two exits predict the same class.
    agreement: Vec<Vec<f64>>,
    /// Top-1 of the mean softmax of the exits so far, percent.
    running_ensemble: Vec<f64>,
    reliability: Vec<Vec<ReliabilityBin>>,
}

/// Scores a split.
fn evaluate(args: &EvalArgs) -> Result<Document, CliError> {
    let run = Run::open(&args.run, args.place.device)?;
    let splits = run.open_data(args.place.data.as_deref(), args.dataset.as_deref())?;
    let table = run.table(&splits, args.split, args.batch_size, args.workers)?;
    let costs = run.net.exit_costs(run.card.image);
    let report = EvalReport::new(&args.split.to_string(), &table, &costs);
    if args.dataset.is_none() && args.split == Split::Test {
        report.write_to(&run.dir)?;
    }
    let macs: Vec<u64> = costs.iter().map(|cost| cost.macs).collect();
    if let Some(path) = &args.logits {
        write_logits(&table, &macs, path)?;
    }
    let diagnostics = if args.diagnostics {
        Some(Diagnostics {
            overthinking: overthinking(&table),
            oracle: oracle(&table, &macs)?,
            agreement: agreement(&table),
            running_ensemble: table.running_ensemble_top1(),
            reliability: reliability(&table),
        })
    } else {
        None
    };
    Ok(Document {
        report,
        diagnostics,
    })
}

/// Tensors `exit0`, `exit1`, ... `[N, C]`, `labels` `[N]` and `macs` `[K]`, for other programs.
fn write_logits(table: &ExitTable, macs: &[u64], path: &Path) -> Result<(), CliError> {
    let bytes = |exit: usize| -> Vec<u8> {
        let logits = table.logits(exit).iter();
        logits.flat_map(|z| z.to_le_bytes()).collect()
    };
    let exits: Vec<Vec<u8>> = (0..table.exits()).map(bytes).collect();
    let whole = |numbers: &mut dyn Iterator<Item = u64>| -> Vec<u8> {
        numbers.flat_map(|n| (n as i64).to_le_bytes()).collect()
    };
    let labels = whole(&mut table.labels().iter().map(|&label| label as u64));
    let costs = whole(&mut macs.iter().copied());
    let shape = vec![table.samples(), table.classes()];
    let view = |dtype, shape, data| {
        TensorView::new(dtype, shape, data).map_err(|error| CliError::Usage(error.to_string()))
    };
    let mut tensors = Vec::new();
    for (exit, data) in exits.iter().enumerate() {
        tensors.push((
            format!("exit{exit}"),
            view(Dtype::F32, shape.clone(), data)?,
        ));
    }
    tensors.push((
        "labels".to_owned(),
        view(Dtype::I64, vec![table.samples()], &labels)?,
    ));
    tensors.push((
        "macs".to_owned(),
        view(Dtype::I64, vec![macs.len()], &costs)?,
    ));
    let file = safetensors::serialize(tensors, None)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(files::write_atomic(path, &file)?)
}

fn print_diagnostics(diagnostics: &Diagnostics) {
    let Overthinking {
        wasteful,
        destructive,
    } = diagnostics.overthinking;
    println!(
        "\nright before the last exit, and there too: {wasteful:.2} %; no longer there: {destructive:.2} %"
    );
    let oracle = &diagnostics.oracle;
    println!(
        "an oracle that stops at the first right exit: top-1 {:.2} % at {} MACs",
        oracle.top1,
        table::macs(oracle.mean_macs)
    );
    println!("exits that agree, percent of the rows:");
    let rows: Vec<Vec<String>> = (diagnostics.agreement.iter().enumerate())
        .map(|(exit, row)| {
            let cells = row.iter().map(|share| format!("{share:.1}"));
            [exit.to_string()].into_iter().chain(cells).collect()
        })
        .collect();
    let names: Vec<String> = (0..rows.len()).map(|exit| exit.to_string()).collect();
    let header: Vec<&str> = ["exit"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    print!("{}", table::render(&header, &rows));
}

/// The report as a table.
pub(crate) fn print(report: &EvalReport) {
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
