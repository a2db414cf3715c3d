//! A policy together with how logits are read, and the state of one sample under it.

use serde::Serialize;

use crate::{AnyPolicy, Decision, ExitView, PolicyError, PolicyState, Readout, ReadoutState};

/// When samples stop, and how the logits of the exits are read before the policy decides.
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

/// One sample between two exits: what has been read of it, and what its policy remembers.
#[derive(Clone, Debug, Default)]
pub struct SampleState {
    policy: PolicyState,
    readout: ReadoutState,
}

impl SampleState {
    /// The next exit, from 0.
    pub fn exit(&self) -> usize {
        self.policy.exit()
    }

    /// Reads the logits `[C]` of the next exit and decides.
    ///
    /// # Panics
    /// When the rule is for fewer exits; [`Rule::check`] finds that.
    pub fn step(&mut self, rule: &Rule, logits: &[f32]) -> (ExitView<'_>, Decision) {
        let view = rule.readout.read(logits, &mut self.readout);
        let decision = self.policy.step(&rule.policy, &view);
        (view, decision)
    }

    /// Forgets the sample; the next one begins at exit 0.
    pub fn clear(&mut self) {
        self.policy.clear();
        self.readout.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Ensemble, FixedExit, ProductEnsemble};

    #[test]
    fn the_probabilities_of_an_answer_are_those_of_the_ensemble() {
        let mut rule = Rule::from(AnyPolicy::from(FixedExit::new(1, 2).unwrap()));
        rule.readout.ensemble = Some(Ensemble::Product(ProductEnsemble::rising(2).unwrap()));
        let mut state = SampleState::default();
        state.step(&rule, &[0.0, 5.0, 1.0]);
        let logits = [3.0, 1.0, 2.0];
        let (view, decision) = state.step(&rule, &logits);
        assert_eq!(decision, Decision::Exit);
        let answer = Answer::new(1, &view, &[1, 2], &logits);
        // Exit 1 alone would say 0, 2, 1.
        assert_eq!(answer.top_k(9), [1, 2, 0]);
        assert_eq!(answer.top_k(1), [answer.class]);
        assert_eq!(answer.probabilities[answer.class], answer.confidence);
        let sum: f32 = answer.probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
