//! What a family of backbones is.

use std::fmt::Debug;

use offramp_core::{BoxedBackbone, StageInfo};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::Init;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A family of backbones, by its settings: what one must say of itself, and either a function that
/// writes a graph or a module that is written in burn.
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
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let _ = (b, image);
        Err(GraphError::Shape {
            node: format!("backbone {}", self.name()),
            reason: "its family has neither `write` nor `in_burn`".to_owned(),
        })
    }

    /// The backbone as a burn module, for one that is written in burn instead of as a graph; then
    /// [`write`](Self::write) is not asked. Such a backbone trains and runs, and cannot be exported,
    /// compiled or cut.
    fn in_burn(&self) -> Option<InBurn> {
        None
    }

    /// What PyTorch's twin of the backbone calls its classifier, without `.weight` and `.bias`.
    fn classifier_name(&self) -> &'static str {
        "fc"
    }
}

/// A backbone that is written in burn.
pub struct InBurn {
    /// Its stages.
    pub stages: Vec<StageInfo>,
    /// Makes it with fresh parameters.
    pub init: Box<dyn Fn(&mut Init) -> BoxedBackbone>,
}

/// The options of a family that has nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
