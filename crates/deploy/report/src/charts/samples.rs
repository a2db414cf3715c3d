//! Charts of single images: reliability diagrams, and the shares of each class at each exit.

use offramp_run::Rows;

use crate::chart::{Axis, Chart, Mark, Series};
use crate::run::Run;
use crate::stats::{BINS, calibration_error, reliability as bins, shares_by_class};

/// Classes in a chart of shares: beyond twice as many, those that leave earliest and latest.
const HALF: usize = 12;

/// A reliability diagram for each exit.
pub(super) fn reliability(rows: &Rows, place: usize) -> Vec<Chart> {
    let exits = 0..rows.exits.len();
    exits
        .map(|exit| exit_reliability(rows, exit, place))
        .collect()
}

fn exit_reliability(rows: &Rows, exit: usize, place: usize) -> Chart {
    let bins = bins(rows.samples(exit));
    let filled = || bins.iter().enumerate().filter(|(_, bin)| bin.count > 0);
    let middle = |at: usize| (at as f64 + 0.5) / BINS as f64;
    let samples = rows.labels.len();
    Chart {
        id: format!("run-{place}-reliability-{exit}"),
        title: format!("Reliability of exit {exit}"),
        description: format!(
            "Right answers among samples of similar confidence, {BINS} bins, {samples} rows of the \
             {} split, logits as trained. Bars below the diagonal: surer than right. Expected \
             calibration error {:.2} %.",
            rows.split,
            calibration_error(&bins)
        ),
        x: Axis::fixed("confidence", 0.0, 1.0),
        y: Axis::fixed("accuracy", 0.0, 1.0),
        series: vec![
            Series::new("accuracy", exit, Mark::Bars)
                .with(filled().map(|(at, bin)| (middle(at), Some(bin.accuracy)))),
            Series::new("perfectly calibrated", 0, Mark::Guide)
                .with([(0.0, Some(0.0)), (1.0, Some(1.0))]),
            Series::new("mean confidence", 0, Mark::Hidden)
                .with(filled().map(|(at, bin)| (middle(at), Some(bin.confidence)))),
            Series::new("samples", 0, Mark::Hidden)
                .with(filled().map(|(at, bin)| (middle(at), Some(bin.count as f64)))),
        ],
        categories: Vec::new(),
    }
}

/// The share of the images of each class that leaves at each exit; `None` without a policy.
pub(super) fn shares(run: &Run, rows: &Rows, place: usize) -> Option<Chart> {
    let taken = rows.taken.as_ref()?;
    let names = &run.card.as_ref()?.classes;
    let exits = rows.exits.len();
    let shares = shares_by_class(&rows.labels, taken, names.len(), exits);
    let mut kept: Vec<(usize, Vec<f64>)> = (shares.into_iter().enumerate())
        .filter_map(|(class, shares)| Some((class, shares?)))
        .collect();
    let depth = |shares: &[f64]| -> f64 {
        shares
            .iter()
            .enumerate()
            .map(|(exit, share)| exit as f64 * share)
            .sum()
    };
    kept.sort_by(|a, b| depth(&a.1).total_cmp(&depth(&b.1)));
    let all = kept.len();
    let cut = all > 2 * HALF;
    if cut {
        kept.drain(HALF..all - HALF);
    }
    let which = if cut {
        format!("The {HALF} classes of {all} that leave earliest and the {HALF} that leave latest")
    } else {
        format!("All {all} classes, those that leave earliest first")
    };
    let part = |exit: usize| {
        let points = kept.iter().enumerate();
        let points = points.map(|(row, (_, shares))| (row as f64, Some(shares[exit])));
        Series::new(format!("exit {exit}"), exit, Mark::Bars).with(points)
    };
    Some(Chart {
        id: format!("run-{place}-classes"),
        title: "Share of samples per exit by class".to_owned(),
        description: format!(
            "{which}: where the rows of the {} split leave under policy.json.",
            rows.split
        ),
        x: Axis::new("class"),
        y: Axis::fixed("share of the samples of the class, %", 0.0, 100.0),
        series: (0..exits).map(part).collect(),
        categories: kept
            .iter()
            .map(|(class, _)| names[*class].clone())
            .collect(),
    })
}
