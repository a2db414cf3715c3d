//! ONE: a gated ensemble of branches teaches each of them.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets, cross_entropy};
use offramp_nn::Init;
use offramp_teachers::{GatedEnsemble, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Settings of [`One`].
///
/// ```toml
/// [model]
/// head = "branch"
/// exits = [1, 1, 1]
///
/// [method]
/// name = "one"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct OneConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// Weight of each exit's logit term.
    pub kd_weight: f64,
    /// Weight of the ensemble's cross-entropy.
    pub teacher_weight: f64,
    /// `T`.
    pub temperature: f64,
    /// Whether gradients are stopped at the ensemble where it teaches (`sg` below).
    pub detach: bool,
    /// Ramp-up of the logit terms: by default over a quarter of the training, the authors' 80
    /// of 300 epochs.
    pub ramp: Ramp,
}

impl Default for OneConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            teacher_weight: 1.0,
            temperature: 3.0,
            detach: true,
            ramp: Ramp::over(0.25),
        }
    }
}

impl OneConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range or the network has one exit.
    pub fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<One, MethodError> {
        let check = Check { method: "one" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.weight("teacher-weight", self.teacher_weight)?;
        check.positive("temperature", self.temperature)?;
        let stage = net.exit_stages[0];
        Ok(One {
            teacher: GatedEnsemble::new(net.stage_channels[stage], net.exits, init),
            stage,
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            config: self.clone(),
        })
    }
}

/// A gate weights all exits, per sample, into one ensemble, which learns from the labels and teaches
/// every exit.
///
/// ```text
/// g = softmax(relu(bn(W mean over positions of x)))      e = sum_j g_j z_j
/// L = sum_i CE(z_i, y) + omega CE(e, y) + alpha ramp sum_i KL_T(z_i || sg e)
/// ```
///
/// `x` is the map that all exits share: that of the stage to which the shallowest exit is attached. No
/// gradient is stopped in `CE(e, y)`: it trains gate, branches and shared stages.
///
/// Lan, Zhu and Gong, *Knowledge Distillation by On-the-Fly Native Ensemble*, NeurIPS 2018, as in the
/// authors' code (Lan1991Xu/ONE_NeurIPS2018), without the 1e-7 that it adds to the target's
/// probabilities. The port in OKDDip's code does not stop the gradient at `e`: `detach = false`.
#[derive(Module, Debug)]
pub struct One {
    /// The gate.
    pub teacher: GatedEnsemble,
    stage: usize,
    ce_weights: Vec<f64>,
    #[module(skip)]
    config: OneConfig,
}

impl One {
    fn shared<'a>(&self, outputs: &'a ExitOutputs) -> &'a Tensor<4> {
        &outputs.stages[self.stage]
    }
}

impl Method for One {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        let logits = stack(outputs.logits().cloned());
        let mixture = self.teacher.mixture(self.shared(outputs).clone());
        let ensemble = mixture.of(logits.clone());
        if config.teacher_weight != 0.0 {
            let value = cross_entropy(ensemble.clone().squeeze_dim(0), targets);
            terms.push("teacher/0", value, config.teacher_weight);
        }
        if config.kd_weight != 0.0 {
            let distillation = Distillation {
                temperature: config.temperature,
                form: SoftForm::Kl,
                target_gradient: !config.detach,
            };
            let kd = distillation.rows(logits, ensemble);
            let weight = config.kd_weight * config.ramp.factor(context);
            terms.push_each("kd", kd, |_| weight);
        }
        terms
    }

    fn after_step(&mut self, outputs: &ExitOutputs) {
        let shared = self.shared(outputs).clone();
        self.teacher.observe(&shared);
    }

    /// The gate uses the map that the branches share.
    fn looks_back_at_stages(&self) -> bool {
        true
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        teacher_scalars(&self.teacher.weights())
    }
}
