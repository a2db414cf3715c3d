//! Charts of the training of a run.

use std::collections::{BTreeMap, BTreeSet};

use crate::chart::{Axis, Chart, Mark, Series};
use crate::run::Run;
use offramp_run::{EvalReport, TrainRecord, known};

/// The loss, its terms, accuracies and the weights of the teachers.
pub(super) fn charts(run: &Run, place: usize) -> Vec<Chart> {
    let points = run.metrics.training();
    let mut charts = vec![loss(points, place)];
    charts.extend(terms(points, place));
    charts.push(train_top1(points, place));
    charts.push(validation(run, place));
    charts.extend(teachers(points, place));
    charts.extend(scalars(points, place));
    charts
}

fn chart(place: usize, id: &str, title: String, description: String, y: Axis) -> Chart {
    Chart {
        id: format!("run-{place}-{id}"),
        title,
        description,
        x: Axis::new("epoch"),
        y,
        series: Vec::new(),
        categories: Vec::new(),
    }
}

fn loss(points: &[TrainRecord], place: usize) -> Chart {
    let curve = points.iter().map(|point| (point.epoch, known(point.loss)));
    let title = "Loss".to_owned();
    let description = "What was minimised, mean over each epoch: the weighted sum of all terms.";
    Chart {
        series: vec![Series::new("loss", 0, Mark::Line).with(curve)],
        ..chart(
            place,
            "loss",
            title,
            description.to_owned(),
            Axis::new("loss"),
        )
    }
}

/// A chart for each family of terms, `ce/0`, `ce/1`, ... being one, a line for each member.
fn terms(points: &[TrainRecord], place: usize) -> Vec<Chart> {
    let names: BTreeSet<&str> = points
        .iter()
        .flat_map(|p| p.terms.keys().map(String::as_str))
        .collect();
    let mut families: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        families.entry(family(name)).or_default().push(name);
    }
    let family_chart = |(index, (family, members)): (usize, (&&str, &Vec<&str>))| {
        let lines = members.iter().enumerate().map(|(at, name)| {
            let curve = points
                .iter()
                .map(|p| (p.epoch, p.terms.get(*name).copied().and_then(known)));
            Series::new(*name, slot(name, at), Mark::Line).with(curve)
        });
        let description = format!(
            "Term {family} of the loss, unweighted, mean over each epoch. The number behind the \
             name is the exit or the teacher that it belongs to."
        );
        Chart {
            series: lines.collect(),
            ..chart(
                place,
                &format!("term-{index}"),
                format!("Loss term {family}"),
                description,
                Axis::new("unweighted"),
            )
        }
    };
    families.iter().enumerate().map(family_chart).collect()
}

fn train_top1(points: &[TrainRecord], place: usize) -> Chart {
    let exits = points.iter().map(|p| p.train_top1.len()).max().unwrap_or(0);
    let line = |exit: usize| {
        let curve = points
            .iter()
            .map(|p| (p.epoch, p.train_top1.get(exit).copied().and_then(known)));
        Series::new(format!("exit {exit}"), exit, Mark::Line).with(curve)
    };
    let description = "Right answers of each exit on the training images as augmented, mean over \
                       each epoch.";
    Chart {
        series: (0..exits).map(line).collect(),
        ..chart(
            place,
            "train-top1",
            "Training accuracy by exit".to_owned(),
            description.to_owned(),
            Axis::new("top-1, %"),
        )
    }
}

fn validation(run: &Run, place: usize) -> Chart {
    let evals = &run.metrics.evals;
    let exits = evals
        .iter()
        .map(|e| e.report.exits.len())
        .max()
        .unwrap_or(0);
    let line = |exit: usize| {
        let top1 = |e: &EvalReport| e.exits.get(exit).and_then(|exit| known(exit.top1));
        let curve = evals.iter().map(|e| (e.epoch as f64, top1(&e.report)));
        Series::new(format!("exit {exit}"), exit, Mark::Line).with(curve)
    };
    let splits: BTreeSet<&str> = evals.iter().map(|e| e.report.split.as_str()).collect();
    let splits: Vec<&str> = splits.into_iter().collect();
    let samples = evals.first().map_or(0, |e| e.report.samples);
    let description = format!(
        "Right answers of each exit on {samples} rows of the {} split during training.",
        splits.join(" and ")
    );
    Chart {
        series: (0..exits).map(line).collect(),
        ..chart(
            place,
            "validation",
            "Validation accuracy by exit".to_owned(),
            description,
            Axis::new("top-1, %"),
        )
    }
}

/// A chart for each row `R` of the matrix of `teacher/R/K`, the weight of exit `K` in teacher `R`.
fn teachers(points: &[TrainRecord], place: usize) -> Vec<Chart> {
    let names = points.iter().flat_map(|p| p.scalars.keys());
    let entries: BTreeSet<(usize, usize)> = names.filter_map(|name| entry(name)).collect();
    let rows: BTreeSet<usize> = entries.iter().map(|(row, _)| *row).collect();
    let row_chart = |&row: &usize| {
        let members = entries.iter().filter(|(r, _)| *r == row);
        let lines = members.map(|&(_, exit)| {
            let name = format!("teacher/{row}/{exit}");
            let curve = points
                .iter()
                .map(|p| (p.epoch, p.scalars.get(&name).copied().and_then(known)));
            Series::new(format!("exit {exit}"), exit, Mark::Line).with(curve)
        });
        let description = format!(
            "Row {row} of the matrix of teacher weights over time: the weight of each exit in \
             teacher {row}."
        );
        Chart {
            series: lines.collect(),
            ..chart(
                place,
                &format!("teacher-{row}"),
                format!("Weights of teacher {row}"),
                description,
                Axis::new("weight"),
            )
        }
    };
    rows.iter().map(row_chart).collect()
}

/// What else a method adapts, such as a temperature.
fn scalars(points: &[TrainRecord], place: usize) -> Vec<Chart> {
    let names: BTreeSet<&String> = (points.iter().flat_map(|p| p.scalars.keys()))
        .filter(|name| entry(name).is_none())
        .collect();
    let one = |(index, name): (usize, &&String)| {
        let curve = points
            .iter()
            .map(|p| (p.epoch, p.scalars.get(*name).copied().and_then(known)));
        Chart {
            series: vec![Series::new(name.as_str(), index, Mark::Line).with(curve)],
            ..chart(
                place,
                &format!("scalar-{index}"),
                format!("Value {name}"),
                format!("What the method logs as {name} beside its losses."),
                Axis::new("value"),
            )
        }
    };
    names.iter().enumerate().map(one).collect()
}

fn entry(name: &str) -> Option<(usize, usize)> {
    let (row, exit) = name.strip_prefix("teacher/")?.split_once('/')?;
    Some((row.parse().ok()?, exit.parse().ok()?))
}

/// `ce` of `ce/0`; a name without a number is a family of its own.
fn family(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((family, number)) if number.parse::<usize>().is_ok() => family,
        _ => name,
    }
}

/// Members with a number have the colour of the exit of that number.
fn slot(name: &str, at: usize) -> usize {
    let number = name
        .rsplit_once('/')
        .and_then(|(_, number)| number.parse().ok());
    number.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_into_families() {
        assert_eq!(family("ce/0"), "ce");
        assert_eq!(family("distill/kd/2"), "distill/kd");
        assert_eq!(family("distill/kd"), "distill/kd");
        assert_eq!(entry("teacher/1/12"), Some((1, 12)));
        assert_eq!(entry("teacher/1"), None);
        assert_eq!(slot("ce/2", 0), 2);
    }
}
