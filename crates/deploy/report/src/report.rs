//! The report: runs read once, written in any form.

use std::fmt::{self, Display};
use std::path::Path;

use offramp_run::files;

use crate::chart::Chart;
use crate::group::{Group, groups};
use crate::run::Run;
use crate::{ReportError, charts, page};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One self-contained page.
    Html,
    /// A folder with one file a chart.
    Svg,
    /// One table of all points of all charts.
    Csv,
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Html => "html",
            Self::Svg => "svg",
            Self::Csv => "csv",
        })
    }
}

/// Run folders, read, and their charts.
#[derive(Debug)]
pub struct Report {
    pub(crate) runs: Vec<Run>,
    pub(crate) groups: Vec<Group>,
    pub(crate) comparison: Vec<Chart>,
    /// Of each run: its charts, and what is missing for more.
    pub(crate) charts: Vec<(Vec<Chart>, Vec<String>)>,
}

impl Report {
    /// Reads run folders; the report keeps their order.
    ///
    /// # Errors
    /// [`ReportError::NoRuns`], and [`ReportError::NotARun`] for the first folder that is none.
    pub fn read<P: AsRef<Path>>(folders: &[P]) -> Result<Self, ReportError> {
        if folders.is_empty() {
            return Err(ReportError::NoRuns);
        }
        let runs = folders.iter().map(|folder| Run::open(folder.as_ref()));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let groups = groups(&runs);
        let of_run = |(place, run)| charts::of_run(run, place);
        Ok(Self {
            comparison: charts::comparison(&runs, &groups),
            charts: runs.iter().enumerate().map(of_run).collect(),
            groups,
            runs,
        })
    }

    /// One page: no request to any network, no script; styles, charts and images are inlined.
    ///
    /// # Errors
    /// [`ReportError::Draw`] or [`ReportError::Page`], which are faults of this crate.
    pub fn html(&self) -> Result<String, ReportError> {
        page::render(self)
    }

    /// The charts as SVG documents on white ground, each with the name of its file.
    ///
    /// # Errors
    /// [`ReportError::Draw`].
    pub fn svgs(&self) -> Result<Vec<(String, String)>, ReportError> {
        let file = |chart: &Chart| Ok((format!("{}.svg", chart.id), chart.svg()?));
        self.all_charts().map(file).collect()
    }

    /// All points of all charts: `chart,series,x,category,y,spread`, no thinning, all digits. A
    /// `y` that was not finite is empty, and so is a `spread` (standard deviation over seeds) of
    /// one run.
    pub fn csv(&self) -> String {
        let mut text = "chart,series,x,category,y,spread\n".to_owned();
        for chart in self.all_charts() {
            chart.csv_rows(&mut text);
        }
        text
    }

    /// Writes a file, or for [`Format::Svg`] files in a folder; each is there whole or not at all.
    ///
    /// # Errors
    /// [`ReportError::Write`], and those of [`html`](Self::html) and [`svgs`](Self::svgs).
    pub fn write(&self, format: Format, out: &Path) -> Result<(), ReportError> {
        match format {
            Format::Html => write(out, &self.html()?),
            Format::Csv => write(out, &self.csv()),
            Format::Svg => {
                let files = self.svgs()?;
                let mut files = files.iter();
                files.try_for_each(|(name, svg)| write(&out.join(name), svg))
            }
        }
    }

    /// What is damaged in the runs, each with the folder it is about.
    pub fn notes(&self) -> Vec<String> {
        let of_run = |run: &Run| {
            let label = run.label();
            let notes = run.notes.iter().map(|note| format!("{label}: {note}"));
            notes.collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_run).collect()
    }

    fn all_charts(&self) -> impl Iterator<Item = &Chart> {
        let of_runs = self.charts.iter().flat_map(|(charts, _)| charts);
        self.comparison.iter().chain(of_runs)
    }
}

/// Writes a file that is there whole or not at all. Missing parents are made.
fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    files::create_folder(files::folder_of(path))?;
    Ok(files::write_atomic_readable(path, text.as_bytes())?)
}
