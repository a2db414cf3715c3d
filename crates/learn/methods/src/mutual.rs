//! Networks, or exits of one, that teach each other.

use burn::tensor::{Bool, Tensor};
use offramp_losses::{Distillation, SoftForm};
use serde::{Deserialize, Serialize};

/// What everyone in a cohort learns from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MutualTarget {
    /// The probabilities of each of the others; the mean of the divergences counts.
    Each,
    /// The probabilities of the others' mean logits.
    Mean,
}

/// The divergence of everyone from the others, in a cohort of `K >= 2`.
///
/// ```text
/// each:  D_k = 1 / (K - 1) sum_{j != k} KL_T(z_k || z_j)
/// mean:  D_k = KL_T(z_k || 1 / (K - 1) sum_{j != k} z_j)
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutual {
    pub temperature: f64,
    pub target: MutualTarget,
    /// Whether gradients are stopped at the outputs that teach.
    pub detach: bool,
}

impl Mutual {
    /// `D` of all.
    ///
    /// # Shapes
    /// - `logits`: `[K, N, C]`, output: `[K]`
    pub(crate) fn divergences(&self, logits: Tensor<3>) -> Tensor<1> {
        let [count, _, _] = logits.dims();
        let others = (count - 1) as f64;
        let loss = Distillation {
            temperature: self.temperature,
            form: SoftForm::Kl,
            target_gradient: !self.detach,
        };
        match self.target {
            MutualTarget::Each => {
                let pairs = loss.pairs(logits.clone(), logits);
                let own = Tensor::<2, Bool>::diag_mask([count, count], 0, &pairs.device());
                let pairs = pairs.mask_fill(own.bool_not(), 0.0);
                pairs.sum_dim(1).squeeze_dim(1) / others
            }
            MutualTarget::Mean => {
                let sum = logits.clone().sum_dim(0);
                let targets = (sum - logits.clone()) / others;
                loss.rows(logits, targets)
            }
        }
    }
}
