//! MLCSD-Net: multi-level collaborative self-distillation.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets, cross_entropy, mse};
use offramp_nn::Init;
use offramp_teachers::{LearnedEnsemble, Level, Mixture, Teacher, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Whether the teachers' weights are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MlcsdForm {
    /// What was meant: a map for each exit, trained by the teachers' cross-entropy.
    Intended,
    /// What the public code does: one map for all exits, which no loss reaches, so that it stays
    /// as it was drawn.
    AsReleased,
}

/// How features are compared with the teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureForm {
    /// Each sample with its own: `mean_nd (f_nd - g_nd)^2`.
    PerSample,
    /// What the public code computes, because shapes `[N, D, 1, 1]` and `[N, D]` are broadcast:
    /// every value with every value, `mean_nd mean_me (f_nd - g_me)^2`.
    AllPairs,
}

/// Settings of [`Mlcsd`].
///
/// ```toml
/// [model]
/// backbone = { name = "resnet18", taps = "inner" }   # the paper's eight exits
/// head = "sepconv"
///
/// [method]
/// name = "mlcsd"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct MlcsdConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// `alpha`, the weight of each exit's logit term.
    pub kd_weight: f64,
    /// `beta`, the weight of each exit's feature term.
    pub feature_weight: f64,
    /// `T`.
    pub temperature: f64,
    /// The weight of the teachers' cross-entropies, which train their weights.
    pub teacher_weight: f64,
    /// Whether the teachers' weights are learned.
    pub form: MlcsdForm,
    /// How features are compared.
    pub features: FeatureForm,
    /// Slow start of the logit and feature terms; not in the paper.
    pub ramp: Ramp,
}

impl Default for MlcsdConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 5.0,
            feature_weight: 10.0,
            temperature: 4.0,
            teacher_weight: 1.0,
            form: MlcsdForm::Intended,
            features: FeatureForm::PerSample,
            ramp: Ramp::NONE,
        }
    }
}

impl MlcsdConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range, the network has one exit, or the widths of the embeddings
    /// differ although they are compared or share a map.
    pub fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<Mlcsd, MethodError> {
        let check = Check { method: "mlcsd" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.weight("feature-weight", self.feature_weight)?;
        check.positive("temperature", self.temperature)?;
        check.weight("teacher-weight", self.teacher_weight)?;
        check.equal_widths("feature-weight", self.feature_weight, net)?;
        let teacher = match self.form {
            MlcsdForm::Intended => LearnedEnsemble::mlcsd(&net.embedding_dims, init),
            MlcsdForm::AsReleased => {
                check.equal_widths("kd-weight", self.kd_weight, net)?;
                LearnedEnsemble::mlcsd_released(net.embedding_dims[0], net.exits, init).no_grad()
            }
        };
        Ok(Mlcsd {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            teacher,
            config: self.clone(),
        })
    }
}

/// Every exit has its own teacher, an ensemble of all exits with weights per sample, and learns its logits
/// and features.
///
/// ```text
/// s_i = softmax(A_i sg(f_i))       t_i = sum_d s_id sg(z_d)      g_i = sum_d s_id sg(f_d)
/// L   = sum_i CE(z_i, y) + alpha sum_i KL_T(z_i || sg t_i) + beta sum_i MSE(f_i, sg g_i)
///     + omega sum_i CE(t_i, y)                                  reaches the maps A only
/// ```
///
/// Zhang, Li, Zhang and Guo, *MLCSD-Net*, Complex & Intelligent Systems, 2024. The last term is
/// ours, after ONE (Lan et al., 2018): in the public code (deepzlk/MLCSD-Net) the teachers are
/// detached and nothing else uses the maps, so they never learn, and one map serves all exits;
/// `form = "as-released"` is that, `features = "all-pairs"` its feature term.
#[derive(Module, Debug)]
pub struct Mlcsd {
    /// The teachers.
    pub teacher: LearnedEnsemble,
    ce_weights: Vec<f64>,
    #[module(skip)]
    config: MlcsdConfig,
}

impl Mlcsd {
    fn push_feature_terms(
        &self,
        terms: &mut LossTerms,
        outputs: &ExitOutputs,
        mixture: &Mixture,
        weight: f64,
    ) {
        let teachers = mixture
            .of(Level::Embeddings.constants(outputs))
            .without_autodiff();
        for (exit, embedding) in outputs.embeddings().enumerate() {
            let teacher = teachers.clone().narrow(0, exit, 1).squeeze_dim::<2>(0);
            let value = match self.config.features {
                FeatureForm::PerSample => mse(embedding.clone(), teacher),
                FeatureForm::AllPairs => all_pairs(embedding.clone(), teacher),
            };
            terms.push(format!("feature/{exit}"), value, weight);
        }
    }
}

/// `mean_nd mean_me (f_nd - g_me)^2 = mean f^2 - 2 mean f mean g + mean g^2`, `[1]`.
fn all_pairs(f: Tensor<2>, g: Tensor<2>) -> Tensor<1> {
    let (mean_f, mean_g) = (f.clone().mean(), g.clone().mean());
    f.square().mean() - mean_f * mean_g * 2.0 + g.square().mean()
}

impl Method for Mlcsd {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let ramp = config.ramp.factor(context);
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        let mixture = self.teacher.mixture(outputs);
        let teachers = mixture.of(Level::Logits.constants(outputs));
        if config.kd_weight != 0.0 {
            let students = stack(outputs.logits().cloned());
            let kd = Distillation::new(config.temperature, SoftForm::Kl)
                .rows(students, teachers.clone());
            terms.push_each("kd", kd, |_| config.kd_weight * ramp);
        }
        if config.feature_weight != 0.0 {
            let weight = config.feature_weight * ramp;
            self.push_feature_terms(&mut terms, outputs, &mixture, weight);
        }
        if config.teacher_weight != 0.0 && config.form == MlcsdForm::Intended {
            for exit in 0..outputs.len() {
                let logits = teachers.clone().narrow(0, exit, 1).squeeze_dim::<2>(0);
                let value = cross_entropy(logits, targets);
                terms.push(format!("teacher/{exit}"), value, config.teacher_weight);
            }
        }
        terms
    }

    fn after_step(&mut self, outputs: &ExitOutputs) {
        self.teacher.observe(outputs);
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        teacher_scalars(&self.teacher.weights())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    /// `mean_nc (f_nc - g_nc)^2` is 0.625; the released code broadcasts `[N, D, 1, 1]` against `[N, D]`, which gives
    /// `mean_ncmd (f_nc - g_md)^2`, 2.875.
    #[test]
    fn the_two_feature_terms() {
        let device = default_device().unwrap();
        let f = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, -1.0]], &device);
        let g = Tensor::<2>::from_floats([[0.5, 1.5], [2.0, 0.0]], &device);
        let meant = mse(f.clone(), g.clone()).into_scalar::<f32>();
        let released = all_pairs(f, g).into_scalar::<f32>();
        assert!((meant - 0.625).abs() < 1e-6 && (released - 2.875).abs() < 1e-6);
    }
}
