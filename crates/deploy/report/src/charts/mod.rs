//! The charts of a report.

mod compare;
mod samples;
mod training;

pub(crate) use compare::comparison;

use crate::chart::Chart;
use crate::run::Run;

/// The charts of one run; `place` is its place in the report. Also what is missing for more.
pub(crate) fn of_run(run: &Run, place: usize) -> (Vec<Chart>, Vec<String>) {
    let mut charts = training::charts(run, place);
    let mut missing = Vec::new();
    if run.metrics.is_empty() {
        missing.push("training curves: there is no metrics.jsonl with training in it".to_owned());
    }
    match &run.rows {
        Some(rows) => {
            charts.extend(samples::reliability(rows, place));
            match samples::shares(run, rows, place) {
                Some(chart) => charts.push(chart),
                None => missing.push(
                    "share of samples per exit by class: rows.json knows of no policy; \
                     `offramp calibrate RUN`, then `offramp report RUN --measure`"
                        .to_owned(),
                ),
            }
        }
        None => missing.push(
            "reliability diagrams and shares by class: there is no rows.json of this model; \
             `offramp report RUN --measure` writes it"
                .to_owned(),
        ),
    }
    if run.calibration.is_none() && run.scores.as_ref().is_some_and(|s| s.exits.len() > 1) {
        missing.push(
            "budget curve: there is no calibrate.json of this model; \
             `offramp calibrate RUN --json > RUN/calibrate.json` writes it"
                .to_owned(),
        );
    }
    if run.latency.is_none() {
        missing.push("measured milliseconds: there is no latency.json".to_owned());
    }
    if run.gallery.is_none() {
        missing.push("gallery of images: there is no gallery.json".to_owned());
    }
    charts.retain(Chart::has_points);
    (charts, missing)
}
