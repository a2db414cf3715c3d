//! Settings of L2W-DEN.

use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{Adam, L2wDen, WeightNet};
use crate::check::Check;
use crate::{MethodError, NetworkInfo};

/// The input of the weight net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightInput {
    /// The sample's losses at all exits.
    Loss,
    /// Its confidences.
    Confidence,
    /// Both.
    Both,
}

/// Over which axis the weights' deviations from 1 sum to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZeroMean {
    /// Over the exits of each sample (`col` in the public code, for CIFAR).
    Sample,
    /// Over the samples at each exit (`row`).
    Exit,
    /// Over all samples and exits (`mat`, for ImageNet).
    Batch,
}

/// Settings of [`L2wDen`].
///
/// ```toml
/// [method]
/// name = "l2w-den"
/// epsilon = 0.8
/// zero-mean = "sample"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct L2wDenConfig {
    /// `eps`: weights lie within `1 - eps` and `1 + eps`; 0 is `plain`.
    pub epsilon: f64,
    /// Over which axis the weights' deviations from 1 sum to 0.
    pub zero_mean: ZeroMean,
    /// The input of the weight net.
    pub input: WeightInput,
    /// Hidden units of the weight net.
    pub hidden: usize,
    /// Training steps between two steps of the weight net; 1: it is trained at every step.
    pub every: u64,
    /// Its learning rate (Adam), which follows the schedule of the training.
    pub lr: f64,
    /// Its weight decay (an L2 penalty).
    pub weight_decay: f64,
    /// `q`: the share of samples that leave at exit `k` in `L_meta` falls with `q^k`.
    pub falloff: f64,
}

impl Default for L2wDenConfig {
    fn default() -> Self {
        Self {
            epsilon: 0.8,
            zero_mean: ZeroMean::Sample,
            input: WeightInput::Loss,
            hidden: 500,
            every: 1,
            lr: 1e-4,
            weight_decay: 1e-4,
            falloff: 0.75,
        }
    }
}

impl L2wDenConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range or the network has one exit.
    pub fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<L2wDen, MethodError> {
        let check = Check { method: "l2w-den" };
        check.several_exits(net)?;
        check.share("epsilon", self.epsilon)?;
        check.positive("hidden", self.hidden as f64)?;
        check.positive("every", self.every as f64)?;
        check.positive("lr", self.lr)?;
        check.weight("weight-decay", self.weight_decay)?;
        check.positive("falloff", self.falloff)?;
        let powers: Vec<f64> = (1..=net.exits as i32)
            .map(|k| self.falloff.powi(k))
            .collect();
        let sum: f64 = powers.iter().sum();
        let inputs = match self.input {
            WeightInput::Both => 2 * net.exits,
            WeightInput::Loss | WeightInput::Confidence => net.exits,
        };
        let weight_net = WeightNet::new(inputs, self.hidden, net.exits, init);
        Ok(L2wDen {
            adam: Adam::new(&weight_net),
            weight_net,
            shares: powers.into_iter().map(|power| power / sum).collect(),
            config: self.clone(),
        })
    }
}
