//! An exit head: a function that goes on writing where the backbone's stage ended.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, Conv, Value};
use offramp_heads::{Head, HeadError, HeadPlace, classify};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

/// A 1x1 convolution with batch norm and ReLU, pooling, a linear layer: every exit has an embedding of
/// the same width.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeckHead {
    /// Width of the embedding.
    width: usize,
}

impl Default for NeckHead {
    fn default() -> Self {
        Self { width: 64 }
    }
}

impl Kind for NeckHead {
    const NAME: &'static str = "neck";
    const DOC: &'static str = "a 1x1 convolution, pooling and a linear layer";

    fn problem(&self) -> Option<String> {
        (self.width == 0).then(|| "option width: 0 channels".to_owned())
    }
}

impl Head for NeckHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let map = b.conv_bn_relu(["conv", "bn"], map, Conv::new(self.width, 1))?;
        Ok(classify(b, map, place.classes)?)
    }
}
