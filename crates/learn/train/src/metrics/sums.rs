//! Sums over steps, and the means that are logged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TrainRecord;

/// Sums over steps, from which a [`TrainRecord`] is made. Part of a checkpoint, so that a line
/// that spans an interruption is the same as without it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Steps.
    pub steps: u64,
    /// Images.
    pub images: u64,
    /// Images with a label.
    pub labelled: u64,
    /// Sum of the total loss.
    pub loss: f64,
    /// Sums of each term.
    pub terms: BTreeMap<String, f64>,
    /// Correct predictions, by exit.
    pub correct: Vec<f64>,
    /// Sum of gradient norms.
    pub gradient_norm: Option<f64>,
    /// Steps that were skipped, where the loss is scaled.
    #[serde(default)]
    pub skipped: Option<u64>,
    /// Seconds.
    pub seconds: f64,
}

/// The numbers of one step, as read from the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StepValues {
    /// Images of the batch.
    pub images: usize,
    /// Images with a label.
    pub labelled: usize,
    /// The total loss.
    pub loss: f64,
    /// Each term.
    pub terms: Vec<TermValue>,
    /// Correct predictions by exit.
    pub correct: Vec<f64>,
    /// Norm of the gradient, if it was computed.
    pub gradient_norm: Option<f64>,
    /// Whether the update was skipped, since a gradient was not finite.
    pub skipped: bool,
    /// The factor of the loss, where it is scaled.
    pub loss_scale: Option<f64>,
    /// How long the step took, the wait for its batch included.
    pub seconds: f64,
}

/// One term of the loss of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TermValue {
    /// Its name, such as `ce/0`.
    pub name: String,
    /// Unweighted.
    pub value: f64,
    /// Its weight at this step.
    pub weight: f64,
}

impl StepValues {
    /// The numbers of a batch from those of its parts, each with its share of the images: losses are means,
    /// counts are sums, and the gradient norm is the same in all parts.
    pub(crate) fn joined(parts: impl IntoIterator<Item = (f64, Self)>) -> Self {
        let mut sum = Self::default();
        for (share, part) in parts {
            sum.images += part.images;
            sum.labelled += part.labelled;
            sum.loss += share * part.loss;
            sum.correct.resize(part.correct.len(), 0.0);
            for (sum, more) in sum.correct.iter_mut().zip(part.correct) {
                *sum += more;
            }
            for term in part.terms {
                let value = share * term.value;
                match sum.terms.iter_mut().find(|other| other.name == term.name) {
                    Some(other) => other.value += value,
                    None => sum.terms.push(TermValue { value, ..term }),
                }
            }
            sum.gradient_norm = part.gradient_norm;
            sum.skipped = part.skipped;
            sum.loss_scale = part.loss_scale;
        }
        sum
    }

    /// The first of the numbers that must be finite and is not: its name and value. A term of
    /// weight 0 takes no part in the loss and may be anything.
    pub(crate) fn not_finite(&self) -> Option<(String, f64)> {
        let terms = self.terms.iter().filter(|term| term.weight != 0.0);
        let norm = self
            .gradient_norm
            .map(|norm| ("the gradient norm".to_owned(), norm));
        // A smaller factor would not help: these gradients are themselves too large, or no numbers.
        let hopeless = self.skipped && self.loss_scale.is_some_and(|factor| factor <= 1.0);
        let hopeless = hopeless.then(|| ("a gradient".to_owned(), f64::NAN));
        terms
            .map(|term| (format!("the loss term {:?}", term.name), term.value))
            .chain([("the total loss".to_owned(), self.loss)])
            .chain(norm)
            .chain(hopeless)
            .find(|(_, value)| !value.is_finite())
    }
}

impl Sums {
    /// Adds a step.
    pub(crate) fn add(&mut self, step: &StepValues) {
        self.steps += 1;
        self.images += step.images as u64;
        self.labelled += step.labelled as u64;
        self.loss += step.loss;
        for TermValue { name, value, .. } in &step.terms {
            match self.terms.get_mut(name) {
                Some(sum) => *sum += value,
                None => drop(self.terms.insert(name.clone(), *value)),
            }
        }
        self.correct.resize(step.correct.len(), 0.0);
        for (sum, value) in self.correct.iter_mut().zip(&step.correct) {
            *sum += value;
        }
        if let Some(norm) = step.gradient_norm {
            *self.gradient_norm.get_or_insert_default() += norm;
        }
        if step.loss_scale.is_some() {
            *self.skipped.get_or_insert_default() += u64::from(step.skipped);
        }
        self.seconds += step.seconds;
    }

    /// The means. `scalars` and `seconds` of the run are the caller's.
    pub fn record(&self, step: u64, epoch: f64, lr: f64) -> TrainRecord {
        let steps = self.steps.max(1) as f64;
        let taken = self.steps.saturating_sub(self.skipped.unwrap_or(0)).max(1) as f64;
        let percent = |correct: &f64| 100.0 * correct / self.labelled.max(1) as f64;
        TrainRecord {
            step,
            epoch,
            lr,
            loss: self.loss / steps,
            terms: self
                .terms
                .iter()
                .map(|(n, v)| (n.clone(), v / steps))
                .collect(),
            train_top1: self.correct.iter().map(percent).collect(),
            gradient_norm: self.gradient_norm.map(|norm| norm / taken),
            skipped_steps: self.skipped,
            loss_scale: None,
            scalars: BTreeMap::new(),
            images_per_second: self.images as f64 / self.seconds.max(1e-9),
            seconds: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;

    fn values(loss: f64) -> StepValues {
        let term = |name: &str, value, weight| TermValue {
            name: name.to_owned(),
            value,
            weight,
        };
        StepValues {
            images: 4,
            labelled: 2,
            loss,
            terms: vec![term("ce/0", loss, 1.0), term("kd/0", 2.0 * loss, 0.0)],
            correct: vec![1.0, 2.0],
            seconds: 0.5,
            ..StepValues::default()
        }
    }

    #[test]
    fn records_are_means() {
        let mut sums = Sums::default();
        sums.add(&values(1.0));
        sums.add(&values(3.0));
        let record = sums.record(2, 0.5, 0.1);
        assert_eq!(record.loss, 2.0);
        assert_eq!(record.terms["kd/0"], 4.0);
        assert_eq!(record.train_top1, [50.0, 100.0]);
        assert_eq!(record.images_per_second, 8.0);
        let json = serde_json::to_value(Record::Step(record)).unwrap();
        assert_eq!(json["kind"], "step");
        assert!(json.get("gradient_norm").is_none());
    }

    #[test]
    fn a_batch_without_labels_has_no_accuracy_and_no_nan() {
        let mut sums = Sums::default();
        sums.add(&StepValues {
            labelled: 0,
            correct: vec![0.0],
            ..values(1.0)
        });
        assert_eq!(sums.record(1, 0.0, 0.1).train_top1, [0.0]);
    }

    #[test]
    fn what_is_not_finite_is_named_unless_it_takes_no_part() {
        assert_eq!(values(1.0).not_finite(), None);
        let mut step = values(1.0);
        step.terms[1].value = f64::NAN;
        assert_eq!(step.not_finite(), None);
        step.terms[1].weight = 0.5;
        let (name, value) = step.not_finite().unwrap();
        assert!(name.contains("kd/0") && value.is_nan(), "{name}");
        let mut step = values(1.0);
        step.gradient_norm = Some(f64::INFINITY);
        assert_eq!(step.not_finite().unwrap().0, "the gradient norm");
        let scaled = |loss_scale| StepValues {
            skipped: true,
            loss_scale: Some(loss_scale),
            ..values(1.0)
        };
        assert_eq!(scaled(2.0).not_finite(), None);
        assert_eq!(scaled(1.0).not_finite().unwrap().0, "a gradient");
    }

    #[test]
    fn steps_left_out_are_counted_where_the_loss_is_scaled() {
        let mut sums = Sums::default();
        for (skipped, norm) in [(false, Some(3.0)), (true, None), (false, Some(5.0))] {
            sums.add(&StepValues {
                skipped,
                gradient_norm: norm,
                loss_scale: Some(8.0),
                ..values(1.0)
            });
        }
        let record = sums.record(3, 0.5, 0.1);
        assert_eq!(
            (record.skipped_steps, record.gradient_norm),
            (Some(1), Some(4.0))
        );
    }
}
