//! A method: how exits are classified, and what they teach each other.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use offramp_core::ExitOutputs;
use offramp_core::registry::Kind;
use offramp_losses::Targets;
use offramp_methods::{
    BoxedMethod, LossTerms, Method, MethodError, MethodKind, NetworkInfo, StepContext,
};
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use crate::loss::focal_loss;

/// Settings of [`LearnedWeights`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedWeightsConfig {
    /// `gamma` of the focal loss.
    gamma: f64,
}

impl Default for LearnedWeightsConfig {
    fn default() -> Self {
        Self { gamma: 2.0 }
    }
}

impl Kind for LearnedWeightsConfig {
    const NAME: &'static str = "learned-weights";
    const DOC: &'static str = "focal losses of all exits, weighted by parameters";
}

impl MethodKind for LearnedWeightsConfig {
    fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<BoxedMethod, MethodError> {
        if !(self.gamma.is_finite() && self.gamma >= 1.0) {
            return Err(MethodError::Unfit {
                method: Self::NAME,
                problem: format!("gamma = {} must be finite and at least 1", self.gamma),
            });
        }
        Ok(BoxedMethod::new(LearnedWeights {
            log_variances: init.full([net.exits], 0.0),
            gamma: self.gamma,
        }))
    }
}

/// The focal losses `F_i` of all exits, weighted by what is learned with the network:
///
/// ```text
/// L = sum_i exp(-s_i) F_i + s_i / 2
/// ```
///
/// Kendall, Gal and Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses*, CVPR 2018; an exit
/// is a task here.
#[derive(Module, Debug)]
pub struct LearnedWeights {
    /// `s`: trained, saved and averaged like the weights of the network.
    log_variances: Param<Tensor<1>>,
    gamma: f64,
}

impl Method for LearnedWeights {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, _: &StepContext) -> LossTerms {
        let mut terms = LossTerms::new();
        for (exit, logits) in outputs.logits().enumerate() {
            let s = self.log_variances.val().narrow(0, exit, 1);
            let loss = focal_loss(logits.clone(), targets, self.gamma);
            terms.push(format!("focal/{exit}"), (-s.clone()).exp() * loss, 1.0);
            terms.push(format!("spread/{exit}"), s, 0.5);
        }
        terms
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        let values = self.log_variances.val().into_data();
        let weight = |(exit, s): (usize, f64)| (format!("weight/{exit}"), (-s).exp());
        values.iter::<f64>().enumerate().map(weight).collect()
    }
}
