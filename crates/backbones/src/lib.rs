//! Network bodies cut into stages.
//!
//! A backbone is named (`resnet20`) and may have options (`shortcut = "conv"`);
//! [`BackboneConfig`] is what a recipe says, [`AnyBackbone`] what it builds.
//! Adding a family is one file, one variant and its lines in [`registry`].

mod config;
mod registry;
pub mod resnet;

use burn::module::Module;
use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError};
use offramp_nn::Init;

pub use config::{BackboneConfig, BackboneError};
pub use registry::{BackboneEntry, registry};

/// Any backbone of this crate.
#[derive(Module, Debug)]
#[non_exhaustive]
pub enum AnyBackbone {
    /// A residual network.
    ResNet(resnet::ResNet),
}

impl BackboneConfig {
    /// Builds the backbone with fresh parameters.
    pub fn init(&self, init: &mut Init) -> AnyBackbone {
        match self {
            Self::ResNet(config) => AnyBackbone::ResNet(config.init(init)),
        }
    }
}

impl Backbone for AnyBackbone {
    fn stages(&self) -> Vec<StageInfo> {
        match self {
            Self::ResNet(net) => net.stages(),
        }
    }

    fn forward_stage(&self, stage: usize, x: Features) -> Features {
        match self {
            Self::ResNet(net) => net.forward_stage(stage, x),
        }
    }

    fn trace_stage(
        &self,
        stage: usize,
        b: &mut Builder,
        x: FeatureValues,
    ) -> Result<FeatureValues, GraphError> {
        match self {
            Self::ResNet(net) => net.trace_stage(stage, b, x),
        }
    }

    fn classifier_name(&self) -> &'static str {
        match self {
            Self::ResNet(net) => net.classifier_name(),
        }
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        match self {
            Self::ResNet(net) => net.costs(image),
        }
    }
}
