//! Be Your Own Teacher.

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets, byot_hint};
use offramp_nn::Init;
use offramp_teachers::{LastExit, Level, Teacher, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Settings of [`Byot`].
///
/// ```toml
/// [method]
/// name = "byot"
/// kd-share = 0.1
/// feature-weight = 0   # where the exits' embeddings have different widths; default 1e-6
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ByotConfig {
    /// Weight of every exit's cross-entropy, shallowest first, multiplied by `1 - a`; empty: 1 each.
    pub ce_weights: CeWeights,
    /// `a`, the share of distillation; classification has `1 - a`.
    pub kd_share: f64,
    /// `b`, the weight of the features' terms, which are sums over the batch.
    pub feature_weight: f64,
    /// `T`.
    pub temperature: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
    /// Ramp-up of the distillation terms; not in the paper.
    pub ramp: Ramp,
}

impl Default for ByotConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_share: 0.1,
            feature_weight: 1e-6,
            temperature: 3.0,
            form: SoftForm::CrossEntropy,
            ramp: Ramp::NONE,
        }
    }
}

impl ByotConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range, the network has one exit, or the features are to be
    /// compared and their widths differ.
    pub fn init(&self, net: &NetworkInfo, _init: &mut Init) -> Result<Byot, MethodError> {
        let check = Check { method: "byot" };
        check.several_exits(net)?;
        check.share("kd-share", self.kd_share)?;
        check.positive("temperature", self.temperature)?;
        check.weight("feature-weight", self.feature_weight)?;
        check.equal_widths("feature-weight", self.feature_weight, net)?;
        Ok(Byot {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            teacher: LastExit { exits: net.exits },
            config: self.clone(),
        })
    }
}

/// The last exit teaches the others, by logits and by features.
///
/// ```text
/// L = (1 - a) sum_i CE(z_i, y) + sum_{i<K} [ a T^2 xent(z_i / T, softmax(sg z_K / T)) + b F_i ]
/// F_i = sum over batch and channels of (f_i - sg f_K)^2 [f_i > 0 or f_K > 0]
/// ```
///
/// Zhang et al., *Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks
/// via Self Distillation*, ICCV 2019; settings of the public port
/// luanyunteng/pytorch-be-your-own-teacher.
#[derive(Module, Debug)]
pub struct Byot {
    ce_weights: Vec<f64>,
    #[module(skip)]
    teacher: LastExit,
    #[module(skip)]
    config: ByotConfig,
}

impl Method for Byot {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let taught = outputs.len() - 1;
        let ramp = config.ramp.factor(context);
        let ce_weight = 1.0 - config.kd_share;
        let mut terms = cross_entropies(outputs, targets, |exit| ce_weight * self.ce_weights[exit]);
        if config.kd_share != 0.0 {
            let students = stack(outputs.logits().take(taught).cloned());
            let teacher = self.teacher.targets(outputs, Level::Logits);
            let kd = Distillation::new(config.temperature, config.form).rows(students, teacher);
            terms.push_each("kd", kd, |_| config.kd_share * ramp);
        }
        if config.feature_weight != 0.0 {
            let teacher = self
                .teacher
                .targets(outputs, Level::Embeddings)
                .squeeze_dim::<2>(0);
            for (exit, embedding) in outputs.embeddings().take(taught).enumerate() {
                let value = byot_hint(embedding.clone(), teacher.clone());
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
