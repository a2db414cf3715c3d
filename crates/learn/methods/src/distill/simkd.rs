//! SimKD: the teacher's classifier is reused.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_heads::MultiExitNet;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::teacher_space::TeacherSpace;
use super::{DistillBatch, DistillInfo, Distiller};
use crate::{LossTerms, MethodError};

/// Settings of [`SimKd`]: none.
///
/// ```toml
/// [model]
/// head = { name = "projector", teacher = "resnet56" }
///
/// [method]
/// name = "plain"
/// ce-weights = [0]
///
/// [distill.simkd]
/// loss = "simkd"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SimKdConfig {}

impl SimKdConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When the exit has no projector into the space of the teachers.
    pub fn init(&self, info: &DistillInfo, _init: &mut Init) -> Result<SimKd, MethodError> {
        let space = TeacherSpace::new("simkd", info)?;
        let teachers = info.teachers.iter().map(|info| info.teacher.net());
        let (weight, bias) = space.classifier(teachers);
        Ok(SimKd {
            space,
            weight,
            bias,
        })
    }
}

/// The student learns the teacher's last map through a projector `P` (the head `projector`), and the
/// teacher's classifier, frozen, computes the logits from it:
///
/// ```text
/// L = mean over all elements of (P(pool(f_s)) - pool(f_t))^2
/// z = W_t mean over positions of P(pool(f_s)) + b_t
/// ```
///
/// where the larger of the two maps is pooled to the size of the other. There is no temperature, no
/// weight and no label. Chen et al., *Knowledge Distillation with the Reused
/// Teacher Classifier*, CVPR 2022.
///
/// With several teachers each has its own projector: `L` and the logits are means over the teachers.
/// With several exits each has its own projector, before the same classifier.
#[derive(Module, Debug)]
pub struct SimKd {
    #[module(skip)]
    space: TeacherSpace,
    #[module(skip)]
    weight: Tensor<2>,
    #[module(skip)]
    bias: Tensor<1>,
}

impl Distiller for SimKd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let teachers = (batch.teachers.iter()).map(|view| view.exit.map.clone().without_autodiff());
        let student = &batch.student.exit.map;
        LossTerms::single(self.space.distance(student, teachers.collect()))
    }

    fn share(&self, exit: usize, student: MultiExitNet) -> MultiExitNet {
        student.with_classifier(exit, self.weight.clone(), self.bias.clone())
    }
}
