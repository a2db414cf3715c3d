//! Stochastic gradient descent.

use burn::tensor::Tensor;
use offramp_kernels::{SgdOptions, sgd_step};
use serde::{Deserialize, Serialize};

use super::{Exclude, Slot};

/// Stochastic gradient descent as PyTorch's `optim.SGD` with dampening 0:
///
/// `d = g + wd w`; with momentum `v = mu v + d` (`v = d` at the first step), then
/// `w <- w - lr v`, or with Nesterov's momentum `w <- w - lr (d + mu v)`.
///
/// The weight decay is an L2 penalty that goes through the momentum, and the learning rate
/// stands outside it, so that a change of the rate acts at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Base learning rate.
    pub lr: f64,
    /// `mu`.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// `wd`.
    pub weight_decay: f64,
    /// Parameters without weight decay.
    pub no_decay: Vec<Exclude>,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            lr: 0.1,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            no_decay: Vec::new(),
        }
    }
}

impl SgdConfig {
    /// How far a step moves a weight against a gradient of 1, beside the accumulated momentum.
    pub(super) fn gain(&self, lr: f64) -> f64 {
        lr * if self.nesterov {
            1.0 + self.momentum
        } else {
            1.0
        }
    }

    pub(super) fn update(
        &self,
        slot: &mut Slot,
        weight_decay: f64,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        lr: f64,
    ) -> Tensor<1> {
        let velocity = slot.tensors.remove("momentum");
        let options = SgdOptions {
            learning_rate: lr,
            momentum: self.momentum,
            weight_decay,
            nesterov: self.nesterov,
        };
        let (weight, velocity) = sgd_step(weight, gradient, velocity, options);
        if self.momentum > 0.0 {
            slot.tensors.insert("momentum".into(), velocity);
        }
        weight
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;
    use offramp_core::default_device;

    fn run(config: SgdConfig) -> Vec<f32> {
        golden::run(|slot, weight, gradient| {
            config.update(slot, config.weight_decay, weight, gradient, config.lr)
        })
    }

    #[test]
    fn golden_numbers() {
        // tests/optimizers.py, the rules in double precision.
        let plain = SgdConfig {
            momentum: 0.0,
            nesterov: false,
            ..SgdConfig::default()
        };
        golden::check(&run(plain), golden::SGD_PLAIN);
        let heavy_ball = SgdConfig {
            nesterov: false,
            weight_decay: 0.01,
            ..SgdConfig::default()
        };
        golden::check(&run(heavy_ball), golden::SGD_MOMENTUM);
        let nesterov = SgdConfig {
            weight_decay: 0.01,
            ..SgdConfig::default()
        };
        golden::check(&run(nesterov), golden::SGD_NESTEROV);
    }

    #[test]
    fn the_first_velocity_is_the_undamped_gradient() {
        let config = SgdConfig {
            nesterov: false,
            weight_decay: 0.0,
            ..SgdConfig::default()
        };
        let mut slot = Slot::default();
        let device = default_device().unwrap();
        let one = || Tensor::<1>::ones([1], &device);
        let after = config.update(&mut slot, 0.0, one(), one(), 0.5);
        assert_eq!(after.into_scalar::<f32>(), 0.5);
    }
}
