//! `offramp data`: data sets fetched, described and checked.

use std::path::{Path, PathBuf};

use offramp_data::DEFAULT_ROOT;
use offramp_data::fetch::{Info, Outcome, Progress, Report, fetch, info, verify};
use serde::Serialize;

use super::print_json;
use crate::args::{DataArgs, DataCommand, DataTarget};
use crate::error::CliError;
use crate::fetch_progress::FetchProgress;
use crate::table;

/// Does what is asked of a data set.
pub(crate) fn run(args: &DataArgs) -> Result<(), CliError> {
    match &args.command {
        DataCommand::Fetch(target) => run_fetch(target),
        DataCommand::Info(target) => run_info(target),
        DataCommand::Verify(target) => run_verify(target),
    }
}

fn root(target: &DataTarget) -> &Path {
    target.data.as_deref().unwrap_or(Path::new(DEFAULT_ROOT))
}

#[derive(Serialize)]
struct Fetched {
    name: String,
    folder: PathBuf,
    present_before: bool,
}

fn run_fetch(target: &DataTarget) -> Result<(), CliError> {
    let mut bar = FetchProgress::new(&target.name);
    let mut present_before = false;
    let folder = fetch(&target.name, root(target), &mut |progress| {
        present_before |= progress == Progress::Present;
        bar.show(&progress);
    });
    bar.finish();
    let fetched = Fetched {
        name: target.name.clone(),
        folder: folder?,
        present_before,
    };
    if target.json {
        return print_json(&fetched);
    }
    let (name, folder) = (&fetched.name, fetched.folder.display());
    if present_before {
        println!("{name} is in {folder} already; `offramp data verify {name}` checks its files")
    } else {
        println!("{name} is in {folder}")
    }
    Ok(())
}

fn run_info(target: &DataTarget) -> Result<(), CliError> {
    let info = info(&target.name, root(target))?;
    if target.json {
        return print_json(&info);
    }
    println!("{}: {}", info.name, info.about);
    for (key, value) in facts(&info, root(target)) {
        println!("  {key:<9} {value}");
    }
    Ok(())
}

/// The facts that are known, each under its heading.
fn facts(info: &Info, root: &Path) -> Vec<(&'static str, String)> {
    let number = |number: Option<usize>| number.map(|n| n.to_string()).unwrap_or_default();
    let state = match (&info.folder, info.downloaded_bytes) {
        _ if info.drawn => "drawn by the program, needs no files".into(),
        (Some(folder), _) => format!("in {}", folder.display()),
        (None, Some(bytes)) => format!(
            "not in {}; {:.1} MB of its download are, `offramp data fetch {}` goes on",
            root.display(),
            bytes as f64 / 1e6,
            info.name
        ),
        (None, None) if info.url.is_some() => {
            format!(
                "not in {}; `offramp data fetch {}` gets it",
                root.display(),
                info.name
            )
        }
        (None, None) => format!("not in {}", root.display()),
    };
    let facts = [
        ("state", state),
        ("classes", number(info.classes)),
        ("images", format!("{0}x{0}", info.size)),
        ("training", number(info.train)),
        ("test", number(info.test)),
        ("from", info.url.clone().unwrap_or_default()),
        ("checksum", info.checksum.clone().unwrap_or_default()),
        ("licence", info.licence.clone()),
        ("source", info.citation.clone()),
        ("note", info.note.clone()),
    ];
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn run_verify(target: &DataTarget) -> Result<(), CliError> {
    let report = verify(&target.name, root(target))?;
    if target.json {
        print_json(&report)?
    } else {
        print_report(&report)
    }
    let failed = report
        .checks
        .iter()
        .filter(|c| c.outcome == Outcome::Failed);
    let failed: Vec<&str> = failed.map(|check| check.what.as_str()).collect();
    if report.ok {
        Ok(())
    } else {
        Err(CliError::Damaged {
            name: report.name.clone(),
            folder: report.folder.clone().unwrap_or_default(),
            failed: failed.join(", "),
        })
    }
}

fn print_report(report: &Report) {
    match &report.folder {
        Some(folder) => println!("{} in {}", report.name, folder.display()),
        None => println!(
            "{} is drawn by the program, there is nothing to check",
            report.name
        ),
    }
    let rows: Vec<Vec<String>> = (report.checks.iter())
        .map(|check| {
            let outcome = match check.outcome {
                Outcome::Ok => "ok",
                Outcome::Differs => "differs",
                Outcome::Failed => "FAILED",
            };
            vec![check.what.clone(), outcome.into(), check.found.clone()]
        })
        .collect();
    if !rows.is_empty() {
        print!("{}", table::render(&["check", "outcome", "found"], &rows));
    }
}
