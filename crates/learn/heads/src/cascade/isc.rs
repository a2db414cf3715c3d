//! IMTA's inline subnetwork collaboration.

use offramp_core::registry::Kind;
use offramp_graph::{BatchNorm, Builder, GraphError, Value};
use serde::{Deserialize, Serialize};

use super::{Cascade, LinkPlace};

/// `link(G) = U ReLU(BN(A G + a))`: the answer of the exit before becomes a vector as wide as the
/// embedding, and the classifier sees both, `W f + U ReLU(BN(A G + a)) + b`.
///
/// Li et al., *Improved Techniques for Training Adaptive Deep Networks*, ICCV 2019. A gradient flows
/// through the link into the exit before. `U` is drawn from `U(-1/sqrt(2D), 1/sqrt(2D))`, PyTorch's
/// bound for the joined classifier, with `D` the width of the embedding.
///
/// ```toml
/// [model]
/// cascade = "isc"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct IscCascade {}

impl Kind for IscCascade {
    const NAME: &'static str = "isc";
    const DOC: &'static str =
        "the previous logits widened to the embedding's width, learned through (IMTA)";
}

impl Cascade for IscCascade {
    fn write(
        &self,
        b: &mut Builder,
        previous: Value,
        place: LinkPlace,
    ) -> Result<Option<Value>, GraphError> {
        let LinkPlace { classes, width, .. } = place;
        let wide = b.linear_layer("expand", previous, width)?;
        let wide = b.batch_norm2d("bn", wide, BatchNorm::default())?;
        let wide = b.relu(wide)?;
        b.linear_unbiased("fc", wide, classes, 2 * width).map(Some)
    }

    fn passes_gradients(&self) -> bool {
        true
    }
}
