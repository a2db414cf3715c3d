//! A distiller: what an exit learns from another network.

use burn::module::Module;
use offramp_core::registry::Kind;
use offramp_losses::mse;
use offramp_methods::distill::{
    BoxedDistiller, DistillBatch, DistillInfo, Distiller, DistillerKind,
};
use offramp_methods::{LossTerms, MethodError};
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

/// The squared distance of the logits: `L = mean_nc (z_s - z_t)^2`.
///
/// Ba and Caruana, *Do Deep Nets Really Need to be Deep?*, NIPS 2014. It has no parameters and no
/// options, so that the settings are the distiller.
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogitMse {}

impl Kind for LogitMse {
    const NAME: &'static str = "logit-mse";
    const DOC: &'static str = "the squared distance of the logits (Ba and Caruana)";
}

impl DistillerKind for LogitMse {
    fn init(&self, _: &DistillInfo, _: &mut Init) -> Result<BoxedDistiller, MethodError> {
        Ok(BoxedDistiller::new(self.clone()))
    }
}

impl Distiller for LogitMse {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let student = batch.student.exit.logits.clone();
        let teacher = batch.teachers[0].exit.logits.clone();
        LossTerms::single(mse(student, teacher))
    }
}
