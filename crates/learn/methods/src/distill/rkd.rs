//! Relational knowledge distillation.

use burn::module::Module;
use offramp_losses::{relational_angle, relational_distance};
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Rkd`].
///
/// ```toml
/// [distill.rkd]
/// loss = { name = "rkd", distance-weight = 25.0, angle-weight = 50.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RkdConfig {
    /// Weight of the distances; 0: not computed.
    pub distance_weight: f64,
    /// Weight of the angles; 0: not computed.
    pub angle_weight: f64,
}

impl Default for RkdConfig {
    fn default() -> Self {
        Self {
            distance_weight: 25.0,
            angle_weight: 50.0,
        }
    }
}

impl RkdConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When a weight is negative or not finite, or both are 0.
    pub fn init(&self, _info: &DistillInfo, _init: &mut Init) -> Result<Rkd, MethodError> {
        let check = Check { method: "rkd" };
        check.weight("distance-weight", self.distance_weight)?;
        check.weight("angle-weight", self.angle_weight)?;
        let sum = self.distance_weight + self.angle_weight;
        check.value("distance-weight + angle-weight", sum, "above 0", sum > 0.0)?;
        Ok(Rkd {
            config: self.clone(),
        })
    }
}

/// Distances and angles between the embeddings of a batch are to equal the teacher's.
///
/// ```text
/// L = 25 mean_ij h(d(f_s)_ij - d(f_t)_ij) + 50 mean_ijk h(a(f_s)_ijk - a(f_t)_ijk)
/// ```
///
/// `d` are distances over their mean, `a` cosines of the angles at `i`, `h` is Huber's function
/// ([`relational_distance`], [`relational_angle`]); `f` is the embedding, whose widths need not
/// agree. Two terms, `distance` and `angle`.
///
/// Park, Kim, Lu and Cho, *Relational Knowledge Distillation*, CVPR 2019. The public toolboxes
/// add it to a cross-entropy of weight 1, with the paper's 25 and 50 within.
#[derive(Module, Debug)]
pub struct Rkd {
    #[module(skip)]
    config: RkdConfig,
}

impl Distiller for Rkd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let student = &batch.student.exit.embedding;
        let teacher = &batch.teachers[0].exit.embedding;
        let mut terms = LossTerms::new();
        if self.config.distance_weight != 0.0 {
            let value = relational_distance(student.clone(), teacher.clone());
            terms.push("distance", value, self.config.distance_weight);
        }
        if self.config.angle_weight != 0.0 {
            let value = relational_angle(student.clone(), teacher.clone());
            terms.push("angle", value, self.config.angle_weight);
        }
        terms
    }
}
