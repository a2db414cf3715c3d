use serde::Serialize;

use crate::policy::likeliest;
use crate::{AnyPolicy, Decision, PolicyError, Reading, Readout, Shown, Trail};

/// When samples stop, and how the logits of the exits are read before that is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// When to stop.
    pub policy: AnyPolicy,
    /// Temperatures and an ensemble, if any.
    pub readout: Readout,
}

impl From<AnyPolicy> for Rule {
    fn from(policy: AnyPolicy) -> Self {
        Self {
            policy,
            readout: Readout::default(),
        }
    }
}

impl Rule {
    /// Refuses a rule that was fitted for another network.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] or [`PolicyError::Classes`].
    pub fn check(&self, exits: usize, classes: usize) -> Result<(), PolicyError> {
        self.policy.check_exits(exits)?;
        self.policy.check_classes(classes)?;
        self.readout.check(exits, classes)
    }
}

/// One sample on its way through the exits: what has been read of it, and what its policy remembers.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    trail: Trail,
    reading: Reading,
}

impl Walk {
    /// The exit that comes next, from 0.
    pub fn exit(&self) -> usize {
        self.trail.exit()
    }

    /// What the rule makes of the logits `[C]` of the next exit.
    ///
    /// # Panics
    /// When the rule is for fewer exits; [`Rule::check`] tells.
    pub fn step(&mut self, rule: &Rule, logits: &[f32]) -> (Shown<'_>, Decision) {
        let shown = rule.readout.read(logits, &mut self.reading);
        let decision = self.trail.step(&rule.policy, &shown);
        (shown, decision)
    }

    /// Back to the start, for another sample.
    pub fn clear(&mut self) {
        self.trail.clear();
        self.reading.clear();
    }
}

/// What a network with exits says of one sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The most probable class.
    pub class: usize,
    /// Its probability at the exit taken.
    pub confidence: f32,
    /// The exit taken, from 0.
    pub exit: usize,
    /// Multiply-accumulates spent on this sample, heads of the exits passed counted.
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
    pub fn new(exit: usize, shown: &Shown<'_>, macs: &[u64], logits: &[f32]) -> Self {
        Self {
            class: shown.evidence.prediction,
            confidence: shown.evidence.confidence,
            exit,
            macs: macs.get(exit).copied().unwrap_or(0),
            logits: logits.to_vec(),
            probabilities: shown.probabilities.to_vec(),
        }
    }

    /// The likeliest classes, `count` of them or all: the prediction, then the others by falling probability,
    /// the lower class among equals.
    pub fn likeliest(&self, count: usize) -> Vec<usize> {
        likeliest(self.class, &self.probabilities, count)
    }
}

/// Samples that wait in front of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// How many.
    pub samples: usize,
    /// For how many steps the first of them has waited.
    pub waited: u64,
}

/// The segment to compute next where `fronts[k]` waits in front of segment `k` and at most `most` samples
/// are computed together; nothing when nothing waits.
///
/// The segment with the most samples (up to `most`) makes the best use of the machine; of equals the
/// deepest, whose samples have come furthest. But where a sample has waited for as many steps as
/// there are segments, the deepest such segment comes first, so that no sample waits for ever.
pub fn next_segment(fronts: &[Front], most: usize) -> Option<usize> {
    let filled = (0..fronts.len()).filter(|&k| fronts[k].samples > 0);
    let overdue = |&k: &usize| fronts[k].waited >= fronts.len() as u64;
    (filled.clone().rev().find(overdue))
        .or_else(|| filled.max_by_key(|&k| fronts[k].samples.min(most)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ensemble, FixedExit, ProductEnsemble};

    #[test]
    fn the_probabilities_of_an_answer_are_those_of_the_ensemble() {
        let mut rule = Rule::from(AnyPolicy::FixedExit(FixedExit::new(1, 2).unwrap()));
        rule.readout.ensemble = Some(Ensemble::Product(ProductEnsemble::rising(2).unwrap()));
        let mut walk = Walk::default();
        walk.step(&rule, &[0.0, 5.0, 1.0]);
        let logits = [3.0, 1.0, 2.0];
        let (shown, decision) = walk.step(&rule, &logits);
        assert_eq!(decision, Decision::Exit);
        let answer = Answer::new(1, &shown, &[1, 2], &logits);
        // Exit 1 alone would say 0, 2, 1.
        assert_eq!(answer.likeliest(9), [1, 2, 0]);
        assert_eq!(answer.likeliest(1), [answer.class]);
        assert_eq!(answer.probabilities[answer.class], answer.confidence);
        let sum: f32 = answer.probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn of_equals_the_lower_class_but_the_prediction_first() {
        assert_eq!(likeliest(2, &[0.2, 0.3, 0.3, 0.2], 3), [2, 1, 0]);
    }

    fn fronts<const N: usize>(waiting: [(usize, u64); N]) -> [Front; N] {
        waiting.map(|(samples, waited)| Front { samples, waited })
    }

    #[test]
    fn the_fullest_segment_comes_next_then_the_deepest() {
        assert_eq!(next_segment(&fronts([(0, 0), (0, 9)]), 8), None);
        assert_eq!(next_segment(&fronts([(5, 0), (4, 0), (0, 0)]), 8), Some(0));
        assert_eq!(next_segment(&fronts([(5, 0), (4, 0), (0, 0)]), 4), Some(1));
    }

    #[test]
    fn who_waited_long_goes_first() {
        assert_eq!(next_segment(&fronts([(5, 0), (1, 2), (0, 0)]), 8), Some(0));
        assert_eq!(next_segment(&fronts([(5, 0), (1, 3), (0, 0)]), 8), Some(1));
        assert_eq!(next_segment(&fronts([(5, 4), (1, 3), (1, 0)]), 8), Some(1));
    }
}
