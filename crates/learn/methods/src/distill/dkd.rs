//! Decoupled knowledge distillation.

use burn::module::Module;
use offramp_losses::decoupled;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Dkd`].
///
/// ```toml
/// [distill.dkd]
/// loss = { name = "dkd", temperature = 4.0 }
/// ramp = { epochs = 20, shape = "linear" }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DkdConfig {
    /// `T`.
    pub temperature: f64,
    /// `alpha`, the weight of the target class against the rest.
    pub target_weight: f64,
    /// `beta`, the weight of the other classes among themselves.
    pub non_target_weight: f64,
}

impl Default for DkdConfig {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            target_weight: 1.0,
            non_target_weight: 8.0,
        }
    }
}

impl DkdConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When a setting is out of range, or there is one class only.
    pub fn init(&self, info: &DistillInfo, _init: &mut Init) -> Result<Dkd, MethodError> {
        let check = Check { method: "dkd" };
        check.positive("temperature", self.temperature)?;
        check.weight("target-weight", self.target_weight)?;
        check.weight("non-target-weight", self.non_target_weight)?;
        let classes = info.student.classes;
        check.value("classes", classes as f64, "at least 2", classes >= 2)?;
        Ok(Dkd {
            config: self.clone(),
        })
    }
}

/// The teacher's softened probabilities in two parts with separate weights: the probability of the
/// labelled class, and the distribution over the other classes.
///
/// ```text
/// L    = alpha TCKD + beta NCKD
/// TCKD = T^2 KL([p_y, 1 - p_y] || [q_y, 1 - q_y])       p = softmax(z_t / T), q = softmax(z_s / T)
/// NCKD = T^2 sum_{c != y} p'_c log(p'_c / q'_c)         p'_c = p_c / (1 - p_y), q' alike
/// ```
///
/// Two terms, `target` and `non-target`; see [`decoupled`] for labels that are missing (left out)
/// or mixed (each by its share). KD is TCKD + (1 - p_y) NCKD: the more confident the teacher,
/// the smaller the weight of the other classes.
///
/// Zhao, Cui, Song, Qiu and Liang, *Decoupled Knowledge Distillation*, CVPR 2022. The authors
/// add it to a cross-entropy of weight 1, and raise it over 20 epochs: the table's `ramp`, which
/// rises with every step, where the released code rises once per epoch, from 1/20.
#[derive(Module, Debug)]
pub struct Dkd {
    #[module(skip)]
    config: DkdConfig,
}

impl Distiller for Dkd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let student = batch.student.exit.logits.clone();
        let teacher = batch.teachers[0].exit.logits.clone();
        let parts = decoupled(student, teacher, batch.targets, self.config.temperature);
        let mut terms = LossTerms::new();
        terms.push("target", parts.target, self.config.target_weight);
        terms.push(
            "non-target",
            parts.non_target,
            self.config.non_target_weight,
        );
        terms
    }
}
