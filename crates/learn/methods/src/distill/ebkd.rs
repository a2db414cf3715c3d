//! EBKD: teachers weighted by their confidence.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::several::{at_least_two, constant_logits, divergences, weighted_mean};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Ebkd`].
///
/// ```toml
/// [distill.ebkd]
/// loss = { name = "ebkd", temperature = 4.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct EbkdConfig {
    /// `T`.
    pub temperature: f64,
}

impl Default for EbkdConfig {
    fn default() -> Self {
        Self { temperature: 4.0 }
    }
}

impl EbkdConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When the temperature is not positive, or there are fewer than two teachers.
    pub fn init(&self, info: &DistillInfo, _init: &mut Init) -> Result<Ebkd, MethodError> {
        Check { method: "ebkd" }.positive("temperature", self.temperature)?;
        at_least_two("ebkd", info)?;
        Ok(Ebkd {
            config: self.clone(),
        })
    }
}

/// The weight of a teacher for a sample falls with the entropy `H` of its prediction:
///
/// ```text
/// L = 1 / (N K) sum_kn w_kn KL_T(z_n || z_kn),   w_kn = 1 - H_kn / sum_j H_jn
///     H_kn = -sum_c p_c log p_c,  p = softmax(z_kn)
/// ```
///
/// Kwon et al., *Adaptive Knowledge Distillation Based on Entropy*, ICASSP 2020, in the form of the
/// public code of CA-MKD (Rorozhl/CA-MKD). The weights of a sample sum to `K - 1`, and the sum is
/// divided by `K`. Where all entropies are 0, all weights are equal.
#[derive(Module, Debug)]
pub struct Ebkd {
    #[module(skip)]
    config: EbkdConfig,
}

impl Distiller for Ebkd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let teachers = constant_logits(batch);
        let student = &batch.student.exit.logits;
        let losses = divergences(student, &teachers, self.config.temperature);
        LossTerms::single(weighted_mean(weights(&teachers), losses))
    }
}

/// `w`, `[K, N]`.
fn weights(teachers: &[Tensor<2>]) -> Tensor<2> {
    let entropy = |logits: &Tensor<2>| {
        let log_p = log_softmax(logits.clone(), 1);
        -(log_p.clone().exp() * log_p).sum_dim(1).squeeze_dim::<1>(1)
    };
    let entropies: Tensor<2> = Tensor::stack(teachers.iter().map(entropy).collect(), 0);
    let sum = entropies.clone().sum_dim(0);
    let certain = sum.clone().equal_elem(0.0);
    let share = entropies.clone() / sum.mask_fill(certain.clone(), 1.0);
    let even = certain.expand(entropies.dims());
    let share = share.mask_fill(even, 1.0 / teachers.len() as f64);
    -share + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    /// `w_k = 1 - H_k / sum_j H_j` with the entropies `H` of the softmax of three logits; see
    /// `tests/python/golden.py`.
    #[test]
    fn weights_of_three_teachers() {
        let device = default_device().unwrap();
        let teachers = [[3.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 1.0]]
            .map(|logits| Tensor::<2>::from_floats([logits], &device));
        let found: Vec<f32> = weights(&teachers).into_data().try_to_vec().unwrap();
        for (found, expected) in found.iter().zip([0.770908, 0.709160, 0.519932]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn teachers_without_entropy_have_equal_weights() {
        let device = default_device().unwrap();
        let sure = [[1e4, 0.0], [0.0, 1e4]].map(|l| Tensor::<2>::from_floats([l], &device));
        let found: Vec<f32> = weights(&sure).into_data().try_to_vec().unwrap();
        assert_eq!(found, [0.5, 0.5]);
    }
}
