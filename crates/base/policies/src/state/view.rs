//! What a policy sees of an exit, and what is kept of the exits before it.

use serde::{Deserialize, Serialize};

use crate::Evidence;

/// What a policy sees of one sample at one exit.
#[derive(Clone, Copy, Debug)]
pub struct ExitView<'a> {
    /// Statistics of the softmax.
    pub evidence: Evidence,
    /// The softmax, `[C]`.
    pub probabilities: &'a [f32],
}

impl ExitView<'_> {
    /// The `count` most probable classes, or all: the prediction first, then by falling probability,
    /// the lower class first among equals.
    pub fn top_k(&self, count: usize) -> Vec<usize> {
        top_k(self.evidence.prediction, self.probabilities, count)
    }
}

/// Classes by falling probability. The prediction comes first: it was decided in double precision, where
/// these may tie.
pub(crate) fn top_k(prediction: usize, probabilities: &[f32], count: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| {
        let by_probability = probabilities[b].total_cmp(&probabilities[a]);
        (b == prediction)
            .cmp(&(a == prediction))
            .then(by_probability)
    });
    classes.truncate(count);
    classes
}

/// What a policy remembers of an exit that a sample has passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastExit {
    /// The exit's prediction.
    pub prediction: usize,
    /// The policy's score there.
    pub score: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prediction_comes_first_then_the_lower_class_among_equals() {
        assert_eq!(top_k(2, &[0.2, 0.3, 0.3, 0.2], 3), [2, 1, 0]);
    }
}
