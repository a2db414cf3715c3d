//! Adam with decoupled weight decay.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Exclude, Slot};

/// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) as
/// PyTorch's `optim.AdamW`, at step `t` counted from 1:
///
/// `w <- w - lr wd w`, `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
/// `w <- w - lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AdamwConfig {
    /// Base learning rate.
    pub lr: f64,
    /// `[b1, b2]`.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// `wd`.
    pub weight_decay: f64,
    /// Parameters without weight decay.
    pub no_decay: Vec<Exclude>,
}

impl Default for AdamwConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.01,
            no_decay: Vec::new(),
        }
    }
}

impl AdamwConfig {
    pub(super) fn update(
        &self,
        slot: &mut Slot,
        weight_decay: f64,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        lr: f64,
    ) -> Tensor<1> {
        let [b1, b2] = self.betas;
        let first = gradient.clone() * (1.0 - b1);
        let first = match slot.tensors.remove("exp-avg") {
            Some(m) => m * b1 + first,
            None => first,
        };
        let second = gradient.square() * (1.0 - b2);
        let second = match slot.tensors.remove("exp-avg-sq") {
            Some(v) => v * b2 + second,
            None => second,
        };
        slot.tensors.insert("exp-avg".into(), first.clone());
        slot.tensors.insert("exp-avg-sq".into(), second.clone());
        let t = slot.steps as f64;
        let (correction, root) = (1.0 - b1.powf(t), (1.0 - b2.powf(t)).sqrt());
        let denominator = second.sqrt() / root + self.eps;
        let decayed = if weight_decay > 0.0 {
            weight * (1.0 - lr * weight_decay)
        } else {
            weight
        };
        decayed - first / denominator * (lr / correction)
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn golden_numbers() {
        // tests/optimizers.py, the rule in double precision.
        let config = AdamwConfig {
            lr: 0.1,
            weight_decay: 0.05,
            ..AdamwConfig::default()
        };
        let found = golden::run(|slot, weight, gradient| {
            config.update(slot, config.weight_decay, weight, gradient, config.lr)
        });
        golden::check(&found, golden::ADAMW);
    }
}
