//! What a family of backbones is.

use std::fmt::Debug;

use offramp_graph::{Builder, GraphError, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A family of backbones, by its settings: what one must say of itself.
pub trait BackboneFamily: Clone + Debug + Send + Sync + 'static {
    /// What a recipe may set.
    type Options: Serialize + DeserializeOwned;

    /// The name in the registry.
    fn name(&self) -> &str;

    /// The options.
    fn options(&self) -> Self::Options;

    /// Replaces the options.
    ///
    /// # Errors
    /// What is wrong with them, with the value.
    fn with_options(self, options: Self::Options) -> Result<Self, String>;

    /// Writes the network from the image to its last map: [`Builder::stage`] where a stage ends,
    /// [`Builder::block`] where a block begins. Weights are drawn in the order in which they are
    /// written, so that a seed gives the same network for ever.
    ///
    /// # Errors
    /// When an operation does not fit its operands, such as an image of other channels.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError>;

    /// What PyTorch's twin of the backbone calls its classifier, without `.weight` and `.bias`.
    fn classifier_name(&self) -> &'static str {
        "fc"
    }
}

/// The options of a family that has nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
