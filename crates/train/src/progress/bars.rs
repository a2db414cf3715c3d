//! A live display, for terminals.

use indicatif::{ProgressBar, ProgressStyle};

use super::{Plan, Progress, clock, percents};
use crate::metrics::{EvalRecord, FinalRecord, TrainRecord};

/// A bar over all steps with the latest numbers beside it, and a line above it for each epoch.
/// Colours follow the environment variable `NO_COLOR`.
#[derive(Debug)]
pub struct Bars {
    bar: ProgressBar,
    plan: Option<Plan>,
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Bars {
    /// A display on standard error.
    pub fn new() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            plan: None,
        }
    }

    fn style() -> ProgressStyle {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let template = match plain {
            true => "{bar:30} {pos}/{len}  {msg}",
            false => "{bar:30.cyan/blue} {pos}/{len}  {msg}",
        };
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    }
}

impl Progress for Bars {
    fn start(&mut self, plan: &Plan) {
        self.bar = ProgressBar::new(plan.steps()).with_style(Self::style());
        self.bar.set_position(plan.done);
        self.bar.println(format!(
            "{}: {} on {}",
            plan.name, plan.summary, plan.device
        ));
        self.plan = Some(plan.clone());
    }

    fn advance(&mut self, step: u64) {
        self.bar.set_position(step);
    }

    fn train(&mut self, record: &TrainRecord, pace: f64) {
        let left = match &self.plan {
            Some(plan) => clock(plan.seconds_left(record, pace)),
            None => String::new(),
        };
        self.bar.set_message(format!(
            "epoch {:.2}  loss {:.3}  top-1 {}  {:.0} images/s  {left} left",
            record.epoch,
            record.loss,
            percents(&record.train_top1),
            record.images_per_second,
        ));
    }

    fn epoch(&mut self, record: &TrainRecord) {
        self.bar.println(format!(
            "epoch {:.0}  loss {:.4}  train top-1 {}",
            record.epoch,
            record.loss,
            percents(&record.train_top1),
        ));
    }

    fn eval(&mut self, record: &EvalRecord) {
        self.bar.println(format!(
            "epoch {}  {} top-1 {}{}",
            record.epoch,
            record.report.split,
            percents(&record.report.top1()),
            if record.best { "  (best so far)" } else { "" },
        ));
    }

    fn message(&mut self, text: &str) {
        self.bar.println(text);
    }

    fn finish(&mut self, record: &FinalRecord) {
        self.bar.println(format!(
            "finished after {}: test top-1 {}",
            clock(record.seconds),
            percents(&record.test.top1()),
        ));
        self.bar.finish_and_clear();
    }
}
