//! BoostNet's weak learners.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::Cost;
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::{Link, Place};

/// Settings of [`Boost`].
///
/// ```toml
/// [model]
/// cascade = { name = "boost", decay = 0.5 }   # or just "boost"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct BoostConfig {
    /// `r`, the share of the earlier exits' answer that is kept.
    pub decay: f64,
}

impl Default for BoostConfig {
    fn default() -> Self {
        Self { decay: 0.5 }
    }
}

impl BoostConfig {
    pub(super) fn problem(&self) -> Option<String> {
        let Self { decay } = self;
        let allowed = *decay > 0.0 && *decay <= 1.0;
        (!allowed).then(|| format!("option decay: {decay} must be above 0 and at most 1"))
    }

    pub(super) fn link(&self, _: Place, _: &mut Init) -> Option<Boost> {
        Some(Boost { decay: self.decay })
    }
}

/// `link(G) = r sg(G)`: every exit corrects the sum of those before, which it cannot change.
///
/// Yu et al., *Boosted Dynamic Neural Networks*, AAAI 2023. With their `F_k = r (z_k + F_{k-1})`,
/// `F_0 = 0`, the loss of exit `k` is the cross-entropy of `z_k + sg F_{k-1}`. That is our
/// `G_k = z_k + r sg(G_{k-1})`, for `F_k = r G_k`: the method `plain` on such a network is theirs.
#[derive(Module, Debug)]
pub struct Boost {
    decay: f64,
}

impl Link for Boost {
    fn forward(&self, previous: Tensor<2>) -> Tensor<2> {
        previous.detach() * self.decay
    }

    fn trace(&self, b: &mut Builder, previous: Value) -> Result<Value, GraphError> {
        b.scale(previous, self.decay as f32)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}
