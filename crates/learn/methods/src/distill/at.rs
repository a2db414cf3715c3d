//! Attention transfer.

use burn::module::Module;
use offramp_losses::attention_transfer;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::adapt::{stage_pairs, to_smaller};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`AttentionTransfer`].
///
/// ```toml
/// [distill.at]
/// loss = { name = "at", power = 2.0 }
/// weight = 1000.0
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct AtConfig {
    /// `p`, at least 1: the larger, the more the strongest channel of a place counts.
    pub power: f64,
}

impl Default for AtConfig {
    fn default() -> Self {
        Self { power: 2.0 }
    }
}

impl AtConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When the power is below 1, where activations of 0 have no gradient.
    pub fn init(
        &self,
        _info: &DistillInfo,
        _init: &mut Init,
    ) -> Result<AttentionTransfer, MethodError> {
        let within = self.power >= 1.0;
        Check { method: "at" }.value("power", self.power, "finite and at least 1", within)?;
        Ok(AttentionTransfer {
            config: self.clone(),
        })
    }
}

/// The student looks where the teacher looks.
///
/// ```text
/// L    = sum over pairs of stages of mean_nj (Q(f_s)_nj - Q(f_t)_nj)^2
/// Q(f) = a / ||a||,  a_j = mean_c |f_cj|^p
/// ```
///
/// Stages are paired by relative depth, as many as the network with fewer has, and the larger map
/// of a pair is pooled to the smaller. Channels need not agree.
///
/// Zagoruyko and Komodakis, *Paying More Attention to Attention*, ICLR 2017, with the mean square
/// of the authors' code instead of the paper's norm. Weight 1000 beside a cross-entropy of 1 in
/// the public toolboxes.
#[derive(Module, Debug)]
pub struct AttentionTransfer {
    #[module(skip)]
    config: AtConfig,
}

impl Distiller for AttentionTransfer {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let (student, teacher) = (batch.student.stages, batch.teachers[0].stages);
        let pairs = stage_pairs(student.len(), teacher.len()).into_iter();
        let losses = pairs.map(|(s, t)| {
            let (f, target) = to_smaller(student[s].clone(), teacher[t].clone());
            attention_transfer(f, target, self.config.power)
        });
        let sum = losses.reduce(|sum, loss| sum + loss);
        LossTerms::single(sum.expect("a network has a stage"))
    }
}
