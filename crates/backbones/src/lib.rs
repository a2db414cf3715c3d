//! Network bodies cut into stages.
//!
//! A backbone is named (`resnet20`) and may have options (`shortcut = "conv"`);
//! [`BackboneConfig`] is what a recipe says, [`AnyBackbone`] what it builds.
//! Adding a family is one file, one variant and its lines in [`registry`].

mod config;
mod registry;
pub mod resnet;

use std::ops::Range;

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

    /// The stages of the backbone.
    pub fn stages(&self) -> Vec<StageInfo> {
        match self {
            Self::ResNet(config) => config.stages(),
        }
    }

    /// Builds the stages of the given numbers alone, with fresh parameters under the names that
    /// they have in the whole. A piece that ends within a block holds all of that block. Stages of
    /// the piece are numbered from 0.
    ///
    /// # Errors
    /// [`BackboneError::Piece`] when the stage before the piece ends within a block.
    pub fn init_stages(
        &self,
        stages: Range<usize>,
        init: &mut Init,
    ) -> Result<AnyBackbone, BackboneError> {
        let piece = match self {
            Self::ResNet(config) => config.init_stages(stages, init).map(AnyBackbone::ResNet),
        };
        piece.map_err(|stage| BackboneError::Piece {
            name: self.name().to_owned(),
            stage,
        })
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
