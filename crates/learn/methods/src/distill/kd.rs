//! Knowledge distillation.

use burn::module::Module;
use offramp_losses::{Distillation, SoftForm};
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Kd`].
///
/// ```toml
/// [method]
/// name = "plain"
/// ce-weights = [0.1]
///
/// [distill.kd]
/// loss = { name = "kd", temperature = 4.0 }
/// weight = 0.9
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct KdConfig {
    /// `T`.
    pub temperature: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
}

impl Default for KdConfig {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            form: SoftForm::Kl,
        }
    }
}

impl KdConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When the temperature is not positive.
    pub fn init(&self, _info: &DistillInfo, _init: &mut Init) -> Result<Kd, MethodError> {
        Check { method: "kd" }.positive("temperature", self.temperature)?;
        Ok(Kd {
            config: self.clone(),
        })
    }
}

/// The teacher's softened probabilities are the target.
///
/// ```text
/// L = KL_T(z_s || z_t) = T^2 mean_n sum_c p_nc (log p_nc - log q_nc)
///     p = softmax(z_t / T), q = softmax(z_s / T)
/// ```
///
/// Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*, NIPS workshop 2014.
/// The public toolboxes give it weight 0.9 beside 0.1 of cross-entropy (RepDistiller) or 1 beside 1
/// (SimKD's), with `T` = 4.
#[derive(Module, Debug)]
pub struct Kd {
    #[module(skip)]
    config: KdConfig,
}

impl Distiller for Kd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let student = batch.student.exit.logits.clone();
        let teacher = batch.teachers[0].exit.logits.clone();
        let loss = Distillation::new(self.config.temperature, self.config.form);
        LossTerms::single(loss.pair(student, teacher))
    }
}
