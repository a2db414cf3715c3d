//! `cargo run --release -p offramp-report --example report -- RUN... report.html`
//!
//! What `offramp report` does, without building the rest of the program.

use std::path::PathBuf;

use offramp_report::{Format, Report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let out = paths.pop().ok_or("usage: report RUN... report.html")?;
    let format = match out.extension().and_then(|extension| extension.to_str()) {
        Some("html") => Format::Html,
        Some("csv") => Format::Csv,
        _ => Format::Svg,
    };
    let report = Report::read(&paths)?;
    report.write(format, &out)?;
    for note in report.notes() {
        eprintln!("note: {note}");
    }
    Ok(())
}
