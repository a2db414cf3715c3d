//! A cascade: what an exit makes of the answer of the exit before.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, GraphError, Value};
use offramp_heads::{Cascade, LinkPlace};
use serde::{Deserialize, Serialize};

/// `link(G) = V sigmoid(sg(G))`, which no logit can dominate.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SquashCascade {}

impl Kind for SquashCascade {
    const NAME: &'static str = "squash";
    const DOC: &'static str = "a linear layer of the previous logits' sigmoids";
}

impl Cascade for SquashCascade {
    fn write(
        &self,
        b: &mut Builder,
        previous: Value,
        place: LinkPlace,
    ) -> Result<Option<Value>, GraphError> {
        let squashed = b.sigmoid(previous)?;
        b.linear_unbiased("fc", squashed, place.classes, place.classes)
            .map(Some)
    }

    fn passes_gradients(&self) -> bool {
        false
    }
}
