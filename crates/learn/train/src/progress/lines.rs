//! Plain lines, for logs and pipes.

use std::io::Write;

use super::{Plan, Progress, clock, percents, terms};
use crate::metrics::{EvalRecord, FinalRecord, TrainRecord};

/// Prints one line per event.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    plan: Option<Plan>,
}

impl<W: Write> Lines<W> {
    /// Prints the lines to `out`.
    pub fn new(out: W) -> Self {
        Self { out, plan: None }
    }

    /// A reader that went away is no reason to stop training.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }
}

impl<W: Write> Progress for Lines<W> {
    fn start(&mut self, plan: &Plan) {
        self.line(&format!(
            "{}: {} on {}, {} epochs of {} steps",
            plan.name, plan.summary, plan.device, plan.epochs, plan.steps_per_epoch
        ));
        if plan.done > 0 {
            self.line(&format!(
                "resumed after step {} of {}",
                plan.done,
                plan.steps()
            ));
        }
        self.plan = Some(plan.clone());
    }

    fn train(&mut self, record: &TrainRecord, pace: f64) {
        let left = match &self.plan {
            Some(plan) => clock(plan.seconds_left(record, pace)),
            None => String::new(),
        };
        self.line(&format!(
            "epoch {:.2}  step {}  loss {:.4}  {}  train top-1 {}  lr {:.2e}  {:.0} images/s  {left} left",
            record.epoch,
            record.step,
            record.loss,
            terms(record),
            percents(&record.train_top1),
            record.lr,
            record.images_per_second,
        ));
    }

    fn epoch(&mut self, record: &TrainRecord) {
        self.line(&format!(
            "epoch {:.0} done  loss {:.4}  train top-1 {}  {:.0} images/s  {} so far",
            record.epoch,
            record.loss,
            percents(&record.train_top1),
            record.images_per_second,
            clock(record.seconds),
        ));
    }

    fn eval(&mut self, record: &EvalRecord) {
        self.line(&format!(
            "epoch {}  {} top-1 {}  ensemble {:.1}{}",
            record.epoch,
            record.report.split,
            percents(&record.report.top1()),
            record.report.ensemble.top1,
            if record.best { "  (best so far)" } else { "" },
        ));
    }

    fn message(&mut self, text: &str) {
        self.line(text);
    }

    fn finish(&mut self, record: &FinalRecord) {
        self.line(&format!(
            "finished after {} steps and {}: test top-1 {}  ensemble {:.1} (weights of step {})",
            record.step,
            clock(record.seconds),
            percents(&record.test.top1()),
            record.test.ensemble.top1,
            record.model_step,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn a_line_tells_loss_terms_accuracy_speed_and_time_left() {
        let mut lines = Lines::new(Vec::new());
        lines.start(&Plan {
            name: "demo".into(),
            device: "cpu".into(),
            summary: "generated, resnet8, mate".into(),
            epochs: 1,
            steps_per_epoch: 100,
            done: 20,
        });
        lines.train(&record(), 0.2);
        let text = String::from_utf8(lines.out).unwrap();
        assert_eq!(
            text,
            "demo: generated, resnet8, mate on cpu, 1 epochs of 100 steps\n\
             resumed after step 20 of 100\n\
             epoch 0.50  step 50  loss 2.5000  ce 2.000/1.000  kd 0.250  train top-1 10.0 20.0  \
             lr 1.00e-1  640 images/s  0:10 left\n"
        );
    }
}
