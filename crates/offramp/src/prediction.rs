//! The answer to one image.

use offramp_policies::Answer;

/// The answer of a network to one image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Name of the most probable class.
    pub class: String,
    /// Its place among the classes, from 0.
    pub label: usize,
    /// Its probability at the exit taken.
    pub confidence: f32,
    /// The exit taken, from 0.
    pub exit: usize,
    /// Multiply-accumulates spent on this image, including the heads of the exits passed.
    pub macs: u64,
    /// Probabilities of all classes at the exit taken, `[C]`, with its temperature and the ensemble.
    pub probabilities: Vec<f32>,
    /// Logits of the exit taken, before any temperature or ensemble, `[C]`.
    pub logits: Vec<f32>,
}

impl Prediction {
    pub(crate) fn new(answer: Answer, classes: &[String]) -> Self {
        Self {
            class: classes.get(answer.class).cloned().unwrap_or_default(),
            label: answer.class,
            confidence: answer.confidence,
            exit: answer.exit,
            macs: answer.macs,
            probabilities: answer.probabilities,
            logits: answer.logits,
        }
    }

    /// The `k` most probable classes with their probabilities, most probable first; all if there are fewer.
    pub fn top_k(&self, k: usize) -> Vec<(usize, f32)> {
        let mut all: Vec<(usize, f32)> = self.probabilities.iter().copied().enumerate().collect();
        all.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        all.truncate(k);
        all
    }
}
