//! Zero-Time-Waste's cascade connections.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, GraphError, Value};
use serde::{Deserialize, Serialize};

use super::{Cascade, LinkPlace};

/// `link(G) = V norm(sg(G))`: the exit's linear layer sees the answer of the exit before beside its
/// own embedding, `W f + V G + b` being one linear layer of the two joined.
///
/// Wolczyk et al., *Zero Time Waste: Recycling Predictions in Early Exit Neural Networks*, NeurIPS
/// 2021. No gradient flows into the exit before. `V` is drawn from `U(-1/sqrt(D+C), 1/sqrt(D+C))`,
/// PyTorch's bound for the joined layer, with `D` the width of the embedding and `C` classes.
///
/// ```toml
/// [model]
/// cascade = { name = "ztw", norm = false, last = false }   # or just "ztw"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ZtwCascade {
    /// Whether the previous logits are normalised, as for ImageNet in the authors' scripts.
    pub norm: bool,
    /// Whether the last exit takes part. The authors leave the network's own classifier as it was
    /// trained.
    pub last: bool,
}

impl Kind for ZtwCascade {
    const NAME: &'static str = "ztw";
    const DOC: &'static str =
        "a linear layer of the previous logits, which learn nothing from it (Zero-Time-Waste)";
}

impl Cascade for ZtwCascade {
    fn write(
        &self,
        b: &mut Builder,
        previous: Value,
        place: LinkPlace,
    ) -> Result<Option<Value>, GraphError> {
        let LinkPlace {
            classes,
            width,
            last,
        } = place;
        if last && !self.last {
            return Ok(None);
        }
        let previous = if self.norm {
            b.layer_norm1d("norm", previous)?
        } else {
            previous
        };
        b.linear_unbiased("fc", previous, classes, width + classes)
            .map(Some)
    }

    fn passes_gradients(&self) -> bool {
        false
    }

    fn fewest_exits(&self) -> usize {
        if self.last { 2 } else { 3 }
    }
}
