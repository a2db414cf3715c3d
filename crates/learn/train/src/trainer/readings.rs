//! The logged numbers of a step, read from the device in one transfer.

use burn::tensor::{Int, Tensor};

use super::pass::Pass;
use crate::metrics::{StepValues, TermValue};

/// Numbers of a step, still on the device.
#[derive(Default)]
pub(super) struct Readings {
    parts: Vec<Part>,
}

/// The numbers of one part of a batch.
struct Part {
    /// Its share of the images of the batch.
    share: f64,
    /// Name and weight of each term.
    terms: Vec<(String, f64)>,
    /// Total, terms, correct predictions of each exit.
    values: Tensor<1>,
}

impl Readings {
    /// Adds total, terms and correct predictions of a part of the batch.
    pub(crate) fn note(&mut self, pass: &Pass, labels: &Tensor<1, Int>, share: f64) {
        let labels = labels.clone().without_autodiff().unsqueeze_dim::<2>(1);
        let correct = pass.outputs.student.logits().map(|logits| {
            let prediction = logits.clone().without_autodiff().argmax(1);
            prediction.equal(labels.clone()).float().sum()
        });
        let terms = pass.terms.iter();
        let values = [pass.total.clone()]
            .into_iter()
            .chain(terms.clone().map(|term| term.value.clone()))
            .map(Tensor::without_autodiff)
            .chain(correct);
        self.parts.push(Part {
            share,
            values: Tensor::cat(values.collect(), 0),
            terms: terms.map(|term| (term.name.clone(), term.weight)).collect(),
        });
    }

    /// The numbers of the whole batch, with the norm of its gradient: losses are means over the
    /// parts, weighted by their numbers of images.
    pub(crate) fn read(self, norm: Option<Tensor<1>>) -> StepValues {
        let clipped = norm.is_some();
        let parts = self.parts.iter().map(|part| part.values.clone());
        let all = Tensor::cat(parts.chain(norm).collect(), 0).into_data();
        let mut numbers = all.iter::<f64>();
        let part = |part: Part| {
            let [count] = part.values.dims();
            let numbers: Vec<f64> = numbers.by_ref().take(count).collect();
            let (losses, correct) = numbers.split_at(1 + part.terms.len());
            let term = |((name, weight), &value)| TermValue {
                name,
                value,
                weight,
            };
            let values = StepValues {
                loss: losses[0],
                terms: part.terms.into_iter().zip(&losses[1..]).map(term).collect(),
                correct: correct.to_vec(),
                ..StepValues::default()
            };
            (part.share, values)
        };
        let mut sum = StepValues::joined(self.parts.into_iter().map(part));
        sum.gradient_norm = clipped.then(|| numbers.next().unwrap_or(f64::NAN));
        sum
    }
}
