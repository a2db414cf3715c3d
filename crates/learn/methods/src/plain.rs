//! Joint training without teachers.

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_losses::Targets;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, StepContext};

/// Settings of [`Plain`].
///
/// ```toml
/// [method]
/// name = "plain"
/// ce-weights = "linear"    # or "even", or [0.5, 1, 2]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct PlainConfig {
    /// Weight of every exit's cross-entropy. With all of them 0, only the distillers train the network.
    pub ce_weights: CeWeights,
}

impl PlainConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When the number of weights is not that of the exits, or one is negative.
    pub fn init(&self, net: &NetworkInfo, _init: &mut Init) -> Result<Plain, MethodError> {
        let check = Check { method: "plain" };
        let ce_weights = check.ce_weights(&self.ce_weights, net)?;
        Ok(Plain { ce_weights })
    }
}

/// The sum of the exits' cross-entropies: `L = sum_i w_i CE(z_i, y)`.
///
/// How MSDNet (Huang et al., *Multi-Scale Dense Networks for Resource Efficient Image
/// Classification*, ICLR 2018) and most multi-exit networks are trained; the baseline of every
/// other method.
#[derive(Module, Debug)]
pub struct Plain {
    ce_weights: Vec<f64>,
}

impl Method for Plain {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, _: &StepContext) -> LossTerms {
        cross_entropies(outputs, targets, |exit| self.ce_weights[exit])
    }
}
