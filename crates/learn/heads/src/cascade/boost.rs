//! BoostNet's weak learners.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, GraphError, Value};
use serde::{Deserialize, Serialize};

use super::{Cascade, LinkPlace};

/// `link(G) = r sg(G)`: every exit corrects the sum of those before, which it cannot change.
///
/// Yu et al., *Boosted Dynamic Neural Networks*, AAAI 2023. With their `F_k = r (z_k + F_{k-1})`,
/// `F_0 = 0`, the loss of exit `k` is the cross-entropy of `z_k + sg F_{k-1}`. That is our
/// `G_k = z_k + r sg(G_{k-1})`, for `F_k = r G_k`: the method `plain` on such a network is theirs.
///
/// ```toml
/// [model]
/// cascade = { name = "boost", decay = 0.5 }   # or just "boost"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct BoostCascade {
    /// `r`, the share of the earlier exits' answer that is kept.
    pub decay: f64,
}

impl Default for BoostCascade {
    fn default() -> Self {
        Self { decay: 0.5 }
    }
}

impl Kind for BoostCascade {
    const NAME: &'static str = "boost";
    const DOC: &'static str =
        "every exit adds to the earlier ones' sum, which it cannot change (BoostNet)";

    fn problem(&self) -> Option<String> {
        let Self { decay } = self;
        let allowed = *decay > 0.0 && *decay <= 1.0;
        (!allowed).then(|| format!("option decay: {decay} must be above 0 and at most 1"))
    }
}

impl Cascade for BoostCascade {
    fn write(
        &self,
        b: &mut Builder,
        previous: Value,
        _: LinkPlace,
    ) -> Result<Option<Value>, GraphError> {
        b.scale(previous, self.decay as f32).map(Some)
    }

    fn passes_gradients(&self) -> bool {
        false
    }
}
