//! What can keep a report from being made.

use std::path::PathBuf;

use offramp_run::RunPaths;
use offramp_run::files::FileError;
use thiserror::Error;

/// A report that cannot be made. What is missing or damaged inside a run is no error: the report lists it.
#[derive(Debug, Error)]
pub enum ReportError {
    /// No folder was named.
    #[error("there is no run to report on; name at least one run folder")]
    NoRuns,
    /// A folder that is no run.
    #[error(
        "`{}` is no run folder: it holds none of {}; name a folder that `offramp train --out` or \
         `offramp import --out` wrote",
        path.display(),
        RunPaths::MARKS.join(", ")
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A chart could not be drawn.
    #[error("chart `{chart}` cannot be drawn: {message}; please report this with the run's files")]
    Draw {
        /// The chart.
        chart: String,
        /// The error of the plotting library.
        message: String,
    },
    /// The page could not be made.
    #[error("the page cannot be put together: {0}; please report this with the run's files")]
    Page(#[from] askama::Error),
    /// Rows of another network than the policy.
    #[error(transparent)]
    Policy(#[from] offramp_policies::PolicyError),
}
