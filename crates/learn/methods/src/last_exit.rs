//! The last exit teaches all others.

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets};
use offramp_nn::Init;
use offramp_teachers::{LastExit, Level, Teacher, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Settings of [`LastExitTeaching`].
///
/// ```toml
/// [method]
/// name = "last-exit"
/// temperature = 3.0
/// kd-weight = 1.0
/// ramp = { fraction = 0.25 }   # default: none
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct LastExitTeachingConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// `alpha`, the weight of each taught exit's term; MLCSD's baseline has 5 to 9.
    pub kd_weight: f64,
    /// `T`; MLCSD's baseline has 4.
    pub temperature: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
    /// Ramp-up of the distillation terms.
    pub ramp: Ramp,
}

impl Default for LastExitTeachingConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            temperature: 3.0,
            form: SoftForm::Kl,
            ramp: Ramp::NONE,
        }
    }
}

impl LastExitTeachingConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range or the network has one exit.
    pub fn init(
        &self,
        net: &NetworkInfo,
        _init: &mut Init,
    ) -> Result<LastExitTeaching, MethodError> {
        let check = Check {
            method: "last-exit",
        };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.positive("temperature", self.temperature)?;
        Ok(LastExitTeaching {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            teacher: LastExit { exits: net.exits },
            config: self.clone(),
        })
    }
}

/// Every exit but the last is taught by the last:
/// `L = sum_i w_i CE(z_i, y) + alpha ramp sum_{i<K} KL_T(z_i || sg z_K)`.
///
/// The self-distillation baseline of MLCSD-Net (Zhang et al., 2024; there "SDN") and, with other
/// weights, the logit part of BYOT and of Phuong and Lampert.
#[derive(Module, Debug)]
pub struct LastExitTeaching {
    ce_weights: Vec<f64>,
    #[module(skip)]
    teacher: LastExit,
    #[module(skip)]
    config: LastExitTeachingConfig,
}

impl Method for LastExitTeaching {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        if config.kd_weight != 0.0 {
            let students = stack(outputs.logits().take(outputs.len() - 1).cloned());
            let teacher = self.teacher.targets(outputs, Level::Logits);
            let kd = Distillation::new(config.temperature, config.form).rows(students, teacher);
            let weight = config.kd_weight * config.ramp.factor(context);
            terms.push_each("kd", kd, |_| weight);
        }
        terms
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        teacher_scalars(&self.teacher.weights())
    }
}
