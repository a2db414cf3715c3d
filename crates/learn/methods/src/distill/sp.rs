//! Similarity-preserving distillation.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_losses::similarity_preserving;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{DistillBatch, DistillInfo, Distiller};
use crate::{LossTerms, MethodError};

/// Settings of [`SimilarityPreserving`]: none.
///
/// ```toml
/// [distill.sp]
/// loss = "sp"
/// weight = 3000.0
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SpConfig {}

impl SpConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// None.
    pub fn init(
        &self,
        _info: &DistillInfo,
        _init: &mut Init,
    ) -> Result<SimilarityPreserving, MethodError> {
        Ok(SimilarityPreserving {})
    }
}

/// Images with similar maps in the teacher are to have similar maps in the student.
///
/// ```text
/// L = ||G(f_t) - G(f_s)||_F^2 / N^2      G(f) = rows of f f^T, each of length 1
/// ```
///
/// `f` is the last map of each network's head, flattened: sizes and channels need not agree.
///
/// Tung and Mori, *Similarity-Preserving Knowledge Distillation*, ICCV 2019. Weight 3000 beside
/// a cross-entropy of 1 in the public toolboxes.
#[derive(Module, Debug)]
pub struct SimilarityPreserving {}

impl Distiller for SimilarityPreserving {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let flat = |map: &Tensor<4>| map.clone().flatten::<2>(1, 3);
        let student = flat(&batch.student.exit.map);
        let teacher = flat(&batch.teachers[0].exit.map);
        LossTerms::single(similarity_preserving(student, teacher))
    }
}
