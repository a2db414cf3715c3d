//! Accuracy against cost, over all runs.

use offramp_policies::OperatingPoint;

use crate::chart::{Axis, Chart, Mark, Point, Series};
use crate::group::Group;
use crate::run::Run;
use crate::stats::Spread;

/// The charts that show all runs together.
pub(crate) fn comparison(runs: &[Run], groups: &[Group]) -> Vec<Chart> {
    let mut charts = vec![against_macs(runs, groups), against_ms(runs, groups)];
    charts.push(calibration(groups));
    charts.retain(Chart::has_points);
    charts
}

fn against_macs(runs: &[Run], groups: &[Group]) -> Chart {
    let mut series = Vec::new();
    for (slot, group) in groups.iter().enumerate() {
        let points = group.exits.iter().map(|exit| (exit.macs / 1e6, exit.top1));
        series.push(spreads(&exits_name(group), slot, exits_mark(group), points));
        let calibrated = calibrated(runs, group);
        if !calibrated.is_empty() {
            let name = format!("{}: budgets", group.name);
            series.push(spreads(&name, slot + groups.len(), Mark::Line, calibrated));
        }
    }
    Chart {
        id: "accuracy-macs".to_owned(),
        title: "Accuracy against cost".to_owned(),
        description: "Test accuracy against the multiply-accumulates of one image. A marker is an \
                      exit at which all images leave; markers without a line are networks with a \
                      single exit, the baselines. A line of budgets is what thresholds fitted on \
                      validation rows buy at each mean cost. Vertical bars: one standard deviation \
                      over seeds."
            .to_owned(),
        x: Axis::new("million MACs for one image"),
        y: Axis::new("test top-1, %"),
        series,
        categories: Vec::new(),
    }
}

fn against_ms(runs: &[Run], groups: &[Group]) -> Chart {
    let mut series = Vec::new();
    let mut machines: Vec<&str> = Vec::new();
    for (slot, group) in groups.iter().enumerate() {
        let measured = group.runs.iter().map(|&run| &runs[run]);
        let measured = measured.filter_map(|run| Some((run, run.latency.as_ref()?)));
        // Seeds cost the same: the first run that was measured stands for all of them.
        let Some((run, latency)) = measured.into_iter().next() else {
            continue;
        };
        machines.push(&latency.hardware);
        let ms = latency.exits_ms.iter().copied();
        let points = ms.clone().zip(group.exits.iter().map(|exit| exit.top1));
        series.push(spreads(&exits_name(group), slot, exits_mark(group), points));
        if let Some(curve) = &run.calibration {
            let mean = |point: &OperatingPoint| -> f64 {
                let shares = point.exit_fractions.iter().zip(ms.clone());
                shares.map(|(share, ms)| share * ms).sum()
            };
            let points = curve
                .rows
                .iter()
                .map(|point| (mean(point), Some(point.top1)));
            let name = format!("{}: budgets", group.name);
            series.push(Series::new(name, slot + groups.len(), Mark::Line).with(points));
        }
    }
    machines.sort_unstable();
    machines.dedup();
    Chart {
        id: "accuracy-ms".to_owned(),
        title: "Accuracy against time".to_owned(),
        description: format!(
            "Test accuracy against measured milliseconds for one image that leaves at each exit. \
             Budgets are estimates: the mean of those times, weighted by the share of images that \
             leaves at each exit. Measured on: {}.",
            machines.join("; ")
        ),
        x: Axis::new("ms for one image"),
        y: Axis::new("test top-1, %"),
        series,
        categories: Vec::new(),
    }
}

fn calibration(groups: &[Group]) -> Chart {
    let line = |(slot, group): (usize, &Group)| {
        let points = group.exits.iter().enumerate();
        let points = points.map(|(exit, spread)| (exit as f64, spread.ece));
        spreads(&group.name, slot, exits_mark(group), points)
    };
    Chart {
        id: "calibration-error".to_owned(),
        title: "Calibration error by exit".to_owned(),
        description:
            "Expected calibration error of each exit on the test rows, 15 bins, logits as \
                      trained: how far confidence and accuracy lie apart. Vertical bars: one \
                      standard deviation over seeds."
                .to_owned(),
        x: Axis::counted("exit"),
        y: Axis::new("ECE, %"),
        series: groups.iter().enumerate().map(line).collect(),
        categories: Vec::new(),
    }
}

/// The budget curves of the runs of a group, point by point: (mean MACs in millions, top-1).
fn calibrated(runs: &[Run], group: &Group) -> Vec<(f64, Option<Spread>)> {
    let curves = group
        .runs
        .iter()
        .filter_map(|&run| runs[run].calibration.as_ref());
    let curves: Vec<&[OperatingPoint]> = curves.map(|curve| curve.rows.as_slice()).collect();
    let Some(first) = curves.first() else {
        return Vec::new();
    };
    // Curves of other budgets have no points in common; then the first run stands for itself.
    let curves = if curves.iter().all(|curve| curve.len() == first.len()) {
        curves
    } else {
        vec![*first]
    };
    let mean = |at: usize| {
        let macs = Spread::of(curves.iter().map(|curve| Some(curve[at].mean_macs)))?;
        let top1 = Spread::of(curves.iter().map(|curve| Some(curve[at].top1)));
        Some((macs.mean / 1e6, top1))
    };
    (0..curves[0].len()).filter_map(mean).collect()
}

fn exits_name(group: &Group) -> String {
    match group.exits.len() {
        1 => format!("{} (single exit)", group.name),
        _ => group.name.clone(),
    }
}

fn exits_mark(group: &Group) -> Mark {
    match group.exits.len() {
        1 => Mark::Dots,
        _ => Mark::Line,
    }
}

fn spreads(
    name: &str,
    slot: usize,
    mark: Mark,
    points: impl IntoIterator<Item = (f64, Option<Spread>)>,
) -> Series {
    let point = |(x, spread): (f64, Option<Spread>)| Point {
        x,
        y: spread.map(|spread| spread.mean),
        spread: spread.and_then(|spread| spread.deviation),
    };
    let mut series = Series::new(name, slot, mark);
    series.points = points.into_iter().map(point).collect();
    series
}
