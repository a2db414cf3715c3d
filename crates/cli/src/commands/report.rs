//! `offramp report`: charts of runs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use offramp_data::Split;
use offramp_policies::{ScoreRows, ScoreSplit};
use offramp_report::{Format, Report};
use offramp_run::{ChosenPolicy, Document, Rows};

use super::gallery::gallery;
use crate::args::Place;
use crate::engine::macs;
use crate::error::CliError;
use crate::run::Run;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run folders; runs whose recipes differ in the seed alone are averaged
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// File, or folder of the SVG files [default: report.html, report.csv or report-svg]
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// What to write
    #[arg(long, default_value = "html")]
    pub format: ReportFormat,
    /// First run the networks over their test rows and write rows.json and gallery.json into the run folders
    #[arg(long)]
    pub measure: bool,
    /// Images a batch while measuring
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub batch_size: usize,
    /// Data and device, for measuring.
    #[command(flatten)]
    pub place: Place,
}

/// What a report can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One page that needs nothing else
    Html,
    /// One file a chart
    Svg,
    /// All points of all charts in one table
    Csv,
}

impl ReportFormat {
    fn format(self) -> (Format, &'static str) {
        match self {
            Self::Html => (Format::Html, "report.html"),
            Self::Svg => (Format::Svg, "report-svg"),
            Self::Csv => (Format::Csv, "report.csv"),
        }
    }
}

/// Measures if asked to, reads the runs, writes the report.
pub(crate) fn run(args: &ReportArgs) -> Result<(), CliError> {
    if args.measure {
        for folder in &args.runs {
            measure(folder, args)?;
        }
    }
    let report = Report::read(&args.runs)?;
    let (format, default) = args.format.format();
    let out = args.out.as_deref().unwrap_or(Path::new(default));
    report.write(format, out)?;
    for note in report.notes() {
        eprintln!("note: {note}");
    }
    println!("{}", out.display());
    Ok(())
}

/// Writes `rows.json`, the answer of each exit to every test image and where the run's policy stops, and with a
/// policy `gallery.json`, images that left at each exit.
fn measure(folder: &Path, args: &ReportArgs) -> Result<(), CliError> {
    let run = Run::open(folder, args.place.device)?;
    let splits = run.open_data(args.place.data.as_deref(), None)?;
    let table = run.table(&splits, Split::Test, args.batch_size, None)?;
    let rows = ScoreRows::new(ScoreSplit::Test, table);
    let mut answers = Rows::new(&rows, &run.card.sha256, None)?;
    let mut policy = String::new();
    let (exits, names) = (run.net.num_exits(), run.card.classes.len());
    let chosen = ChosenPolicy::choose(folder, None, &run.card.sha256, exits, names)?;
    if let Some(file) = chosen.file {
        let readout = file.readout();
        let mut rows = rows;
        if let Some(temperatures) = &readout.temperatures {
            rows = rows.with_temperatures(temperatures)?;
        }
        if let Some(ensemble) = &readout.ensemble {
            rows = rows.with_ensemble(ensemble)?;
        }
        answers.taken = Rows::new(&rows, &run.card.sha256, Some(&file.policy))?.taken;
        let share = 100.0 * file.expected.mean_macs / full_macs(&run);
        policy = format!("{}, {share:.0} % of the MACs", file.policy.name());
    }
    answers.write_to(folder)?;
    let (subset, classes) = (splits.get(Split::Test), &run.card.classes);
    if let Some(gallery) = gallery(subset, &answers, classes, &policy)? {
        gallery.write_to(folder)?;
    }
    Ok(())
}

/// Multiply-accumulates to the deepest exit.
fn full_macs(run: &Run) -> f64 {
    macs(&run.net, &run.card)
        .last()
        .map_or(1.0, |&macs| macs as f64)
}
