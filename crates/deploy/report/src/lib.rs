//! Charts and one self-contained HTML page from run folders.
//!
//! A report reads the documents of run folders (`offramp-run`) and never a network: the crate knows no tensors.
//!
//! | file | what the report takes from it |
//! |---|---|
//! | `recipe.toml` | name, seed, method; runs that differ in the seed alone are put together |
//! | `metrics.jsonl` | training curves, weights of teachers, the device |
//! | `eval.json` | accuracy, calibration error and cost of each exit |
//! | `model.json` | classes, commit, checksum |
//! | `policy.json` | the policy |
//! | `calibrate.json` | the budget curve, as `offramp calibrate RUN --json` prints it |
//! | `rows.json` | reliability diagrams and shares by class |
//! | `latency.json` | accuracy against milliseconds |
//! | `gallery.json` | images that left at each exit |
//!
//! What is missing or damaged is named in the report and is no error; a folder that is no run is one.
//!
//! ```no_run
//! use offramp_report::{Format, Report};
//!
//! let report = Report::read(&["runs/mate-0", "runs/mate-1", "runs/plain-0"])?;
//! report.write(Format::Html, "report.html".as_ref())?;
//! # Ok::<(), offramp_report::ReportError>(())
//! ```

mod chart;
mod charts;
mod error;
mod group;
mod page;
mod report;
mod run;
mod stats;
#[cfg(test)]
mod tests;

pub use error::ReportError;
pub use report::{Format, Report};
