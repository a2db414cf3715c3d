//! Progress display of a training run.

mod bars;
mod curve;
mod lines;

use std::io::IsTerminal;

use crate::metrics::{EvalRecord, FinalRecord, TrainRecord};

pub use bars::Bars;
pub use lines::Lines;

/// Description of a run, shown at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the recipe.
    pub name: String,
    /// The device.
    pub device: String,
    /// Data set, network and method in a few words.
    pub summary: String,
    /// Epochs in all.
    pub epochs: u64,
    /// Steps per epoch.
    pub steps_per_epoch: u64,
    /// Steps done already, when the run is resumed.
    pub done: u64,
}

impl Plan {
    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.epochs * self.steps_per_epoch
    }

    /// Seconds left after `step` steps, at the pace of `record`; validations not counted.
    pub fn seconds_left(&self, record: &TrainRecord, pace: f64) -> f64 {
        self.steps().saturating_sub(record.step) as f64 * pace
    }
}

/// Receives progress events. Every method may do nothing.
pub trait Progress {
    /// The run starts.
    fn start(&mut self, _plan: &Plan) {}

    /// A step is done; `step` counts from 1. Called at every step, so it must be cheap.
    fn advance(&mut self, _step: u64) {}

    /// Called every `train.log-every` steps; `pace` is seconds per step.
    fn train(&mut self, _record: &TrainRecord, _pace: f64) {}

    /// An epoch is done.
    fn epoch(&mut self, _record: &TrainRecord) {}

    /// A validation is done.
    fn eval(&mut self, _record: &EvalRecord) {}

    /// A message to show.
    fn message(&mut self, _text: &str) {}

    /// The run is finished.
    fn finish(&mut self, _record: &FinalRecord) {}
}

/// Ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}

/// Bars on a terminal, lines elsewhere; both on standard error, so that standard output stays
/// free for results.
pub fn for_terminal() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Box::new(Bars::new())
    } else {
        Box::new(Lines::new(std::io::stderr()))
    }
}

/// `62.1 68.4 70.0`.
pub(crate) fn percents(values: &[f64]) -> String {
    let parts: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
    parts.join(" ")
}

/// The terms of a record, those of one kind together: `ce 2.31/2.10 kd 0.12/0.04`.
pub(crate) fn terms(record: &TrainRecord) -> String {
    let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, value) in &record.terms {
        let kind = name.split('/').next().unwrap_or(name);
        let value = format!("{value:.3}");
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, values)) => values.push(value),
            None => kinds.push((kind, vec![value])),
        }
    }
    let kinds = kinds
        .into_iter()
        .map(|(kind, values)| format!("{kind} {}", values.join("/")));
    kinds.collect::<Vec<_>>().join("  ")
}

/// `1:02:03` or `2:03`.
pub(crate) fn clock(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record() -> TrainRecord {
        TrainRecord {
            step: 50,
            epoch: 0.5,
            lr: 0.1,
            loss: 2.5,
            terms: [("ce/0", 2.0), ("ce/1", 1.0), ("kd/0", 0.25)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            train_top1: vec![10.0, 20.04],
            gradient_norm: None,
            skipped_steps: None,
            loss_scale: None,
            scalars: Default::default(),
            images_per_second: 640.0,
            seconds: 10.0,
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(percents(&[10.0, 20.04]), "10.0 20.0");
        assert_eq!(terms(&record()), "ce 2.000/1.000  kd 0.250");
        assert_eq!(clock(3723.4), "1:02:03");
        assert_eq!(clock(59.6), "1:00");
        assert_eq!(clock(f64::NAN), "0:00");
    }

    #[test]
    fn the_time_left_is_that_of_the_steps_left() {
        let plan = Plan {
            name: "x".into(),
            device: "cpu".into(),
            summary: String::new(),
            epochs: 2,
            steps_per_epoch: 100,
            done: 0,
        };
        assert_eq!(plan.seconds_left(&record(), 0.2), 30.0);
    }
}
