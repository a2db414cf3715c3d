//! Exit-ensemble distillation.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets, masked_mse, mse};
use offramp_nn::Init;
use offramp_teachers::{Level, MeanEnsemble, Teacher, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// How EED compares the logits of an exit with the ensemble's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EedForm {
    /// Mean squared error of the logits: the public code's default.
    Mse,
    /// KL divergence of the softened probabilities.
    Kl,
    /// Their cross-entropy; the public code's `KL` is this with `kd-weight = 0.1`.
    CrossEntropy,
}

/// Settings of [`Eed`].
///
/// ```toml
/// [method]
/// name = "eed"
/// form = "kl"          # default: "mse"
/// temperature = 3.0
/// feature-weight = 0   # default: 1
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct EedConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// Weight of each exit's logit term.
    pub kd_weight: f64,
    /// Weight of each exit's feature term.
    pub feature_weight: f64,
    /// `T`, for the forms that soften.
    pub temperature: f64,
    /// How logits are compared.
    pub form: EedForm,
    /// Slow start of the taught terms; not in the paper.
    pub ramp: Ramp,
}

impl Default for EedConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            feature_weight: 1.0,
            temperature: 3.0,
            form: EedForm::Mse,
            ramp: Ramp::NONE,
        }
    }
}

impl EedConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range, the network has one exit, or the features are to be
    /// compared and their widths differ.
    pub fn init(&self, net: &NetworkInfo, _init: &mut Init) -> Result<Eed, MethodError> {
        let check = Check { method: "eed" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.positive("temperature", self.temperature)?;
        check.weight("feature-weight", self.feature_weight)?;
        check.equal_widths("feature-weight", self.feature_weight, net)?;
        Ok(Eed {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            teacher: MeanEnsemble { exits: net.exits },
            config: self.clone(),
        })
    }
}

/// The mean of all exits teaches every exit, the last one too.
///
/// ```text
/// L = sum_i CE(z_i, y) + alpha sum_i D(z_i, sg mean_j z_j) + beta sum_i F(f_i, sg mean_j f_j)
/// D: mean squared error, KL_T or T^2 xent;   F(f, t) = mean (f - t)^2 [f > 0 or t > 0]
/// ```
///
/// Lee and Lee, *Students are the Best Teacher: Exit-Ensemble Distillation with Multi-Exits*,
/// arXiv 2104.00299, 2021; settings of the public code hjdw2/Exit-Ensemble-Distillation.
#[derive(Module, Debug)]
pub struct Eed {
    ce_weights: Vec<f64>,
    #[module(skip)]
    teacher: MeanEnsemble,
    #[module(skip)]
    config: EedConfig,
}

impl Eed {
    fn compare_logits(&self, outputs: &ExitOutputs) -> Tensor<1> {
        let teacher = self.teacher.targets(outputs, Level::Logits);
        let form = match self.config.form {
            EedForm::Kl => SoftForm::Kl,
            EedForm::CrossEntropy => SoftForm::CrossEntropy,
            EedForm::Mse => {
                let teacher = teacher.squeeze_dim::<2>(0);
                let values = outputs.logits().map(|z| mse(z.clone(), teacher.clone()));
                return Tensor::cat(values.collect(), 0);
            }
        };
        let students = stack(outputs.logits().cloned());
        Distillation::new(self.config.temperature, form).rows(students, teacher)
    }
}

impl Method for Eed {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let ramp = config.ramp.factor(context);
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        if config.kd_weight != 0.0 {
            terms.push_each("kd", self.compare_logits(outputs), |_| {
                config.kd_weight * ramp
            });
        }
        if config.feature_weight != 0.0 {
            let teacher = self
                .teacher
                .targets(outputs, Level::Embeddings)
                .squeeze_dim::<2>(0);
            for (exit, embedding) in outputs.embeddings().enumerate() {
                let value = masked_mse(embedding.clone(), teacher.clone());
                let weight = config.feature_weight * ramp;
                terms.push(format!("feature/{exit}"), value, weight);
            }
        }
        terms
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        teacher_scalars(&self.teacher.weights())
    }
}
