//! A live display, for terminals.

use indicatif::{ProgressBar, ProgressStyle};

use super::curve::Curve;
use super::{Plan, Progress, clock, percents, terms};
use crate::metrics::{EvalRecord, FinalRecord, TrainRecord};

/// A bar over all steps, the rate, and below it a small curve of the loss and of each exit's accuracy;
/// above it a line for each epoch. Colours follow the environment variable `NO_COLOR`.
#[derive(Debug)]
pub struct Bars {
    bar: ProgressBar,
    plan: Option<Plan>,
    panel: Panel,
}

/// The curves that are drawn below the bar.
#[derive(Debug, Default)]
struct Panel {
    head: String,
    loss: Curve,
    terms: String,
    /// Top-1 on training images, by exit.
    train: Vec<Curve>,
    /// Top-1 of the newest evaluation, by exit, and on what.
    eval: Option<(String, Vec<f64>)>,
}

impl Panel {
    fn train(&mut self, record: &TrainRecord, left: &str) {
        self.head = format!(
            "epoch {:.2}  lr {:.2e}  {:.0} images/s  {left} left",
            record.epoch, record.lr, record.images_per_second
        );
        self.loss.push(record.loss);
        self.terms = terms(record);
        self.train
            .resize_with(record.train_top1.len(), Curve::default);
        for (curve, &top1) in self.train.iter_mut().zip(&record.train_top1) {
            curve.push(top1);
        }
    }

    /// Lines of equal form: a name, a number, a curve, a remark.
    fn text(&self) -> String {
        let mut text = self.head.clone();
        let mut line = |name: &str, number: String, curve: &Curve, remark: &str| {
            let curve = curve.draw();
            let line = format!("\n{name:<7} {number:>8}  {curve:<32}  {remark}");
            text.push_str(line.trim_end());
        };
        line(
            "loss",
            format!("{:.4}", self.loss.last()),
            &self.loss,
            &self.terms,
        );
        for (exit, curve) in self.train.iter().enumerate() {
            let remark = match &self.eval {
                Some((split, top1)) => match top1.get(exit) {
                    Some(top1) => format!("{split} {top1:.1} %"),
                    None => String::new(),
                },
                None => String::new(),
            };
            let number = format!("{:.1} %", curve.last());
            line(&format!("exit {exit}"), number, curve, &remark);
        }
        text
    }
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
            panel: Panel::default(),
        }
    }

    fn style() -> ProgressStyle {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let template = if plain {
            "{wide_bar} {pos}/{len}\n{msg}"
        } else {
            "{wide_bar:.cyan/blue} {pos}/{len}\n{msg}"
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
        self.panel.train(record, &left);
        self.bar.set_message(self.panel.text());
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
        let top1 = record.report.top1();
        self.bar.println(format!(
            "epoch {}  {} top-1 {}{}",
            record.epoch,
            record.report.split,
            percents(&top1),
            if record.best { "  (best so far)" } else { "" },
        ));
        self.panel.eval = Some((record.report.split.clone(), top1));
        self.bar.set_message(self.panel.text());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::tests::record;

    #[test]
    fn the_panel_has_a_curve_for_the_loss_and_for_each_exit() {
        let mut panel = Panel::default();
        for (loss, top1) in [(4.0, 0.0), (3.0, 10.0), (2.5, 20.0)] {
            let mut record = record();
            record.loss = loss;
            record.train_top1 = vec![top1, 2.0 * top1];
            panel.train(&record, "1:00");
        }
        panel.eval = Some(("val".to_owned(), vec![18.04, 33.0]));
        let text = panel.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch 0.50  lr 1.00e-1  640 images/s  1:00 left");
        let bars = |drawn: &str| format!("{drawn:<32}");
        assert_eq!(
            lines[1],
            format!(
                "loss      2.5000  {}  ce 2.000/1.000  kd 0.250",
                bars("█▃▁")
            )
        );
        assert_eq!(
            lines[2],
            format!("exit 0    20.0 %  {}  val 18.0 %", bars("▁▅█"))
        );
        assert_eq!(
            lines[3],
            format!("exit 1    40.0 %  {}  val 33.0 %", bars("▁▅█"))
        );
        assert_eq!(lines.len(), 4);
    }
}
