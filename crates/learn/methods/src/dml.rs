//! Deep mutual learning between the exits of one network.

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_losses::Targets;
use offramp_nn::Init;
use offramp_teachers::stack;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::mutual::{Mutual, MutualTarget};
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Settings of [`Dml`].
///
/// ```toml
/// [method]
/// name = "dml"
/// temperature = 3.0    # default: 1
/// target = "mean"      # default: "each"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmlConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// Weight of each exit's distillation term.
    pub kd_weight: f64,
    /// `T`.
    pub temperature: f64,
    /// The target of an exit: each of the others, or their mean.
    pub target: MutualTarget,
    /// Whether gradients are stopped at the exits that teach (`sg` below).
    pub detach: bool,
    /// Ramp-up of the distillation terms; not in the paper.
    pub ramp: Ramp,
}

impl Default for DmlConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            temperature: 1.0,
            target: MutualTarget::Each,
            detach: true,
            ramp: Ramp::NONE,
        }
    }
}

impl DmlConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range or the network has one exit.
    pub fn init(&self, net: &NetworkInfo, _init: &mut Init) -> Result<Dml, MethodError> {
        let check = Check { method: "dml" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.positive("temperature", self.temperature)?;
        Ok(Dml {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            config: self.clone(),
        })
    }
}

/// All exits teach each other.
///
/// ```text
/// L = sum_i CE(z_i, y) + alpha ramp sum_i 1 / (K - 1) sum_{j != i} KL_T(z_i || sg z_j)
/// ```
///
/// Zhang, Xiang, Hospedales and Lu, *Deep Mutual Learning*, CVPR 2018, whose cohort consists of
/// networks (the distiller [`distill::Dml`](crate::distill::Dml)) and whose `T` is 1. The public code of OKDDip
/// (`train_DML.py`) has `T` = 3, no `sg`, and by default the others' mean logits as the target.
#[derive(Module, Debug)]
pub struct Dml {
    ce_weights: Vec<f64>,
    #[module(skip)]
    config: DmlConfig,
}

impl Method for Dml {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        if config.kd_weight != 0.0 {
            let mutual = Mutual {
                temperature: config.temperature,
                target: config.target,
                detach: config.detach,
            };
            let kd = mutual.divergences(stack(outputs.logits().cloned()));
            let weight = config.kd_weight * config.ramp.factor(context);
            terms.push_each("kd", kd, |_| weight);
        }
        terms
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        let exits = self.ce_weights.len();
        let share = |exit, other| {
            if exit == other {
                0.0
            } else {
                1.0 / (exits - 1) as f32
            }
        };
        let row = |exit| (0..exits).map(|other| share(exit, other)).collect();
        teacher_scalars(&(0..exits).map(row).collect::<Vec<_>>())
    }
}
