//! Pooling and a linear layer.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, Value};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

use crate::head::{Head, HeadError, HeadPlace, classify};

/// `logits = fc(mean over positions of the map)`: the classifier that residual networks end with, and
/// the cheapest early exit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearHead {}

impl Kind for LinearHead {
    const NAME: &'static str = "linear";
    const DOC: &'static str = "pooling and a linear layer";
}

impl Head for LinearHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        Ok(classify(b, map, place.classes)?)
    }
}
