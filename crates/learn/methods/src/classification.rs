//! The cross-entropy terms that every method has.

use offramp_core::ExitOutputs;
use offramp_losses::{Targets, cross_entropy};

use crate::LossTerms;

/// The terms `ce/0`, `ce/1`, ...: the cross-entropy of every exit with the labels. Exits of
/// weight 0 have none.
pub(crate) fn cross_entropies(
    outputs: &ExitOutputs,
    targets: &Targets,
    weight: impl Fn(usize) -> f64,
) -> LossTerms {
    let mut terms = LossTerms::new();
    for (exit, logits) in outputs.logits().enumerate() {
        let weight = weight(exit);
        if weight != 0.0 {
            let value = cross_entropy(logits.clone(), targets);
            terms.push(format!("ce/{exit}"), value, weight);
        }
    }
    terms
}
