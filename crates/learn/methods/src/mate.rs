//! MATE-R: our reconstruction of multi-exit self-distillation with appropriate teachers.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets, cross_entropy};
use offramp_nn::Init;
use offramp_teachers::{EnsembleStart, LearnedEnsemble, Level, Mixture, Teacher, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// How the teachers weight the exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MateWeights {
    /// Trained, the same for every sample; each teacher starts closest to its own exit.
    PerTeacher,
    /// Computed per sample by a trained map from the embedding of the teacher's own exit; starts as
    /// `per-teacher`.
    PerSample,
    /// Equal and not trained: every teacher is the mean of all exits.
    Uniform,
}

/// Settings of [`Mate`].
///
/// ```toml
/// [method]
/// name = "mate"                # MATE-R, our reconstruction
/// lambda = 0.8
/// ramp = { fraction = 0.25 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct MateConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// `alpha`, the weight of each exit's logit term.
    pub kd_weight: f64,
    /// `lambda`, the share of an exit's own (primary) teacher in its distillation term.
    pub lambda: f64,
    /// `T`.
    pub temperature: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
    /// How the teachers weight the exits.
    pub weights: MateWeights,
    /// The weight of `L_W`, the loss that trains the teachers.
    pub teacher_weight: f64,
    /// `mu`, the weight within `L_W` of the term that keeps each teacher near its own exit.
    pub pull: f64,
    /// Whether the exits' logit terms train the teachers too (as OKDDip does).
    pub kd_trains_teachers: bool,
    /// Weight of each exit's feature term.
    pub feature_weight: f64,
    /// Ramp-up of the logit and feature terms: by default over a quarter of the training,
    /// the 80 of 300 epochs of ONE and OKDDip.
    pub ramp: Ramp,
}

impl Default for MateConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            lambda: 0.8,
            temperature: 3.0,
            form: SoftForm::Kl,
            weights: MateWeights::PerTeacher,
            teacher_weight: 1.0,
            pull: 1.0,
            kd_trains_teachers: false,
            feature_weight: 0.0,
            ramp: Ramp::over(0.25),
        }
    }
}

impl MateConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range, the network has one exit, or the features are to be
    /// compared and their widths differ.
    pub fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<Mate, MethodError> {
        let check = Check { method: "mate" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.share("lambda", self.lambda)?;
        check.positive("temperature", self.temperature)?;
        check.weight("teacher-weight", self.teacher_weight)?;
        check.weight("pull", self.pull)?;
        check.weight("feature-weight", self.feature_weight)?;
        check.equal_widths("feature-weight", self.feature_weight, net)?;
        let teacher = match self.weights {
            MateWeights::PerTeacher => {
                LearnedEnsemble::per_teacher(net.exits, EnsembleStart::Own, init)
            }
            MateWeights::PerSample => {
                LearnedEnsemble::per_sample(&net.embedding_dims, EnsembleStart::Own, init)
            }
            MateWeights::Uniform => {
                LearnedEnsemble::per_teacher(net.exits, EnsembleStart::Uniform, init).no_grad()
            }
        };
        Ok(Mate {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            teacher,
            config: self.clone(),
        })
    }
}

/// One ensemble teacher per exit, with trained weights; each exit learns from all teachers, mainly from
/// its own.
///
/// ```text
/// w_k  = softmax(a_k)      e_k = sum_j w_kj sg(z_j)              a trained, a_kk = 1, others 0
/// L    = sum_i CE(z_i, y) + alpha ramp L_KD + omega L_W
/// L_KD = sum_i sum_k s_ik KL_T(z_i || sg e_k)     s_ii = lambda,  s_ik = (1 - lambda) / (K - 1)
/// L_W  = sum_k [ CE(e_k, y) + mu KL_T(e_k || sg z_k) ]
/// ```
///
/// The gradient of `L_W` reaches the weights only. Its first part alone would make all teachers equal,
/// its second alone would make teacher `k` equal to exit `k`; together they give teachers that are
/// accurate and near their exits.
///
/// **This is MATE-R, our reconstruction** of Sun et al., *Multi-exit self-distillation with
/// appropriate teachers*, FITEE 25(4):585-599, 2024, of which only the abstract was available: it
/// states several ensemble teachers of all exits with different trainable weights, that each exit
/// learns from all of them and mainly from a primary one. The losses, the constants and the
/// schedule are ours; so is any number obtained with it.
#[derive(Module, Debug)]
pub struct Mate {
    /// The teachers.
    pub teacher: LearnedEnsemble,
    ce_weights: Vec<f64>,
    #[module(skip)]
    config: MateConfig,
}

impl Mate {
    /// The shares `s` of all teachers in each exit's distillation term, `[K, K]`.
    fn shares(&self, like: &Tensor<2>) -> Tensor<2> {
        let [exits, _] = like.dims();
        let lambda = self.config.lambda;
        let other = (1.0 - lambda) / (exits - 1) as f64;
        let share = |at| {
            if at / exits == at % exits {
                lambda
            } else {
                other
            }
        };
        let shares: Vec<f32> = (0..exits * exits).map(|at| share(at) as f32).collect();
        let shares = TensorData::new(shares, [exits, exits]);
        Tensor::from_data(shares, (&like.device(), like.dtype()))
    }

    /// `sum_k s_ik D_ik` for every exit `i`, from the matrix `D`, `[K, K]`.
    fn taught(&self, pairs: Tensor<2>) -> Tensor<1> {
        let shares = self.shares(&pairs);
        (pairs * shares).sum_dim(1).squeeze_dim(1)
    }

    fn push_logit_terms(
        &self,
        terms: &mut LossTerms,
        outputs: &ExitOutputs,
        teachers: Tensor<3>,
        ramp: f64,
    ) {
        let config = &self.config;
        let distillation = Distillation {
            temperature: config.temperature,
            form: config.form,
            target_gradient: config.kd_trains_teachers,
        };
        let students = stack(outputs.logits().cloned());
        let kd = self.taught(distillation.pairs(students, teachers));
        terms.push_each("kd", kd, |_| config.kd_weight * ramp);
    }

    fn push_feature_terms(
        &self,
        terms: &mut LossTerms,
        outputs: &ExitOutputs,
        mixture: &Mixture,
        ramp: f64,
    ) {
        let weight = self.config.feature_weight * ramp;
        let teachers = mixture
            .of(Level::Embeddings.constants(outputs))
            .without_autodiff();
        let students = stack(outputs.embeddings().cloned());
        let [exits, _, _] = teachers.dims();
        let columns = (0..exits).map(|k| {
            let squares = (students.clone() - teachers.clone().narrow(0, k, 1)).square();
            squares.mean_dims(&[1, 2]).squeeze_dim::<2>(2)
        });
        let pairs = Tensor::cat(columns.collect(), 1);
        terms.push_each("feature", self.taught(pairs), |_| weight);
    }

    fn push_teacher_terms(
        &self,
        terms: &mut LossTerms,
        exits: Tensor<3>,
        teachers: Tensor<3>,
        targets: &Targets,
    ) {
        let config = &self.config;
        let [count, _, _] = teachers.dims();
        for k in 0..count {
            let logits = teachers.clone().narrow(0, k, 1).squeeze_dim::<2>(0);
            let value = cross_entropy(logits, targets);
            terms.push(format!("teacher/{k}"), value, config.teacher_weight);
        }
        if config.pull != 0.0 {
            let pull = Distillation::new(config.temperature, config.form).rows(teachers, exits);
            terms.push_each("pull", pull, |_| config.teacher_weight * config.pull);
        }
    }
}

impl Method for Mate {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let ramp = config.ramp.factor(context);
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        let mixture = self.teacher.mixture(outputs);
        let exits = Level::Logits.constants(outputs);
        let teachers = mixture.of(exits.clone());
        if config.kd_weight != 0.0 {
            self.push_logit_terms(&mut terms, outputs, teachers.clone(), ramp);
        }
        if config.feature_weight != 0.0 {
            self.push_feature_terms(&mut terms, outputs, &mixture, ramp);
        }
        if config.teacher_weight != 0.0 && config.weights != MateWeights::Uniform {
            self.push_teacher_terms(&mut terms, exits, teachers, targets);
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
