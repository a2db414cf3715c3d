//! The answer of a network with exits to one image.

use serde::Serialize;

use super::view::top_k;
use crate::ExitView;

/// The prediction for one image, with the exit that made it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The most probable class.
    pub class: usize,
    /// Its probability at the exit taken.
    pub confidence: f32,
    /// The exit taken, from 0.
    pub exit: usize,
    /// Multiply-accumulates spent on this image, including the heads of the exits passed.
    pub macs: u64,
    /// Logits of the exit taken, before any temperature or ensemble.
    #[serde(skip)]
    pub logits: Vec<f32>,
    /// Probabilities of all classes at the exit taken, `[C]`, with its temperature and the ensemble.
    #[serde(skip)]
    pub probabilities: Vec<f32>,
}

impl Answer {
    /// The answer of an exit with these logits; `macs[k]` is what it costs to answer at exit `k`.
    pub fn new(exit: usize, view: &ExitView<'_>, macs: &[u64], logits: &[f32]) -> Self {
        Self {
            class: view.evidence.prediction,
            confidence: view.evidence.confidence,
            exit,
            macs: macs.get(exit).copied().unwrap_or(0),
            logits: logits.to_vec(),
            probabilities: view.probabilities.to_vec(),
        }
    }

    /// The `count` most probable classes, or all: the prediction first, then by falling probability,
    /// the lower class first among equals.
    pub fn top_k(&self, count: usize) -> Vec<usize> {
        top_k(self.class, &self.probabilities, count)
    }
}
