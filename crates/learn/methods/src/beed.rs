//! BEED: an ensemble weighted by depth, and a balance between labels and ensemble.

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets, mse};
use offramp_nn::Init;
use offramp_teachers::{Level, Teacher, WeightedEnsemble, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Settings of [`Beed`].
///
/// ```toml
/// [method]
/// name = "beed"
/// balance = 1.15
/// ensemble-growth = 1.6
/// feature-weight = 0   # where the exits' embeddings have different widths; default 0.1
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct BeedConfig {
    /// Weight of every exit's cross-entropy, shallowest first, beside `2 - A^(K-1-i)`; empty: 1
    /// each.
    pub ce_weights: CeWeights,
    /// Weight of each exit's logit term, beside `A^(K-1-i)`.
    pub kd_weight: f64,
    /// Weight of each exit's feature term.
    pub feature_weight: f64,
    /// `A`, by which distillation gains on the labels from exit to shallower exit.
    pub balance: f64,
    /// `B`, by which the weight in the ensemble grows from exit to deeper exit.
    pub ensemble_growth: f64,
    /// `T`.
    pub temperature: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
    /// Slow start of the taught terms; not in the public code.
    pub ramp: Ramp,
}

impl Default for BeedConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            feature_weight: 0.1,
            balance: 1.15,
            ensemble_growth: 1.6,
            temperature: 3.0,
            form: SoftForm::Kl,
            ramp: Ramp::NONE,
        }
    }
}

impl BeedConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range (`A^(K-1)` above 2 would train against the labels), the
    /// network has one exit, or the features are to be compared and their widths differ.
    pub fn init(&self, net: &NetworkInfo, _init: &mut Init) -> Result<Beed, MethodError> {
        let check = Check { method: "beed" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.positive("ensemble-growth", self.ensemble_growth)?;
        check.positive("temperature", self.temperature)?;
        check.weight("feature-weight", self.feature_weight)?;
        check.equal_widths("feature-weight", self.feature_weight, net)?;
        check.positive("balance", self.balance)?;
        let kd_shares = (1..=net.exits).map(|depth| self.balance.powi((net.exits - depth) as i32));
        let kd_shares: Vec<f64> = kd_shares.collect();
        check.value(
            "balance",
            self.balance,
            "small enough that balance^(exits - 1) is at most 2",
            kd_shares.iter().all(|share| *share <= 2.0),
        )?;
        Ok(Beed {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            kd_shares,
            teacher: WeightedEnsemble::geometric(self.ensemble_growth, net.exits),
            config: self.clone(),
        })
    }
}

/// An ensemble with larger weights for deep exits teaches every exit, shallow exits most.
///
/// ```text
/// L = sum_i [ (2 - A^(K-1-i)) CE(z_i, y) + A^(K-1-i) KL_T(z_i || sg e) + beta MSE(f_i, sg g) ]
/// e = sum_j w_j z_j     g = sum_j w_j f_j     w_j = B^j / sum_l B^l          i, j = 0..K-1
/// ```
///
/// A baseline in the public code cloak-s/LOTH (`BEED_train.py`) of Wang et al., *Live on the Hump:
/// Self Knowledge Distillation via Virtual Teacher-Students Mutual Learning*, ACM MM 2024; A =
/// 1.15, B = 1.6, beta = 0.1. That code adds 1e-7 to the target's probabilities before the
/// logarithm; ours takes log-probabilities.
#[derive(Module, Debug)]
pub struct Beed {
    ce_weights: Vec<f64>,
    kd_shares: Vec<f64>,
    #[module(skip)]
    teacher: WeightedEnsemble,
    #[module(skip)]
    config: BeedConfig,
}

impl Method for Beed {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let ramp = config.ramp.factor(context);
        let ce_weight = |exit: usize| (2.0 - self.kd_shares[exit]) * self.ce_weights[exit];
        let mut terms = cross_entropies(outputs, targets, ce_weight);
        if config.kd_weight != 0.0 {
            let students = stack(outputs.logits().cloned());
            let teacher = self.teacher.targets(outputs, Level::Logits);
            let kd = Distillation::new(config.temperature, config.form).rows(students, teacher);
            terms.push_each("kd", kd, |exit| {
                config.kd_weight * self.kd_shares[exit] * ramp
            });
        }
        if config.feature_weight != 0.0 {
            let teacher = self
                .teacher
                .targets(outputs, Level::Embeddings)
                .squeeze_dim::<2>(0);
            for (exit, embedding) in outputs.embeddings().enumerate() {
                let value = mse(embedding.clone(), teacher.clone());
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
