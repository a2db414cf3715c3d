//! Probabilistic knowledge transfer.

use burn::module::Module;
use offramp_losses::probabilistic_transfer;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{DistillBatch, DistillInfo, Distiller};
use crate::{LossTerms, MethodError};

/// Settings of [`ProbabilisticTransfer`]: none.
///
/// ```toml
/// [distill.pkt]
/// loss = "pkt"
/// weight = 30000.0
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct PktConfig {}

impl PktConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// None.
    pub fn init(
        &self,
        _info: &DistillInfo,
        _init: &mut Init,
    ) -> Result<ProbabilisticTransfer, MethodError> {
        Ok(ProbabilisticTransfer {})
    }
}

/// Images with neighbouring embeddings in the teacher are to be neighbours in the student.
///
/// ```text
/// L    = mean_ij p_ij log(p_ij / q_ij)
/// p_ij = (1 + cos(f_t,i, f_t,j)) / sum_j (1 + cos(f_t,i, f_t,j)),  q from f_s alike
/// ```
///
/// `f` is the embedding; widths need not agree. Since it is a mean over all `N^2` pairs, the public
/// toolboxes give it weight 30000 beside a cross-entropy of 1.
///
/// Passalis and Tefas, *Learning Deep Representations with Probabilistic Knowledge Transfer*,
/// ECCV 2018.
#[derive(Module, Debug)]
pub struct ProbabilisticTransfer {}

impl Distiller for ProbabilisticTransfer {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let student = batch.student.exit.embedding.clone();
        let teacher = batch.teachers[0].exit.embedding.clone();
        LossTerms::single(probabilistic_transfer(student, teacher))
    }
}
