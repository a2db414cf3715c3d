//! Network bodies cut into stages.
//!
//! A backbone is named (`resnet20`) and may have options (`shortcut = "conv"`);
//! [`BackboneConfig`] is what a recipe says, [`AnyBackbone`] what it builds.
//!
//! A family is one file and one line of the list below. Most are written as [`layers`], from
//! which the forward pass, the costs and the graph follow; any other type serves that implements
//! [`BackboneFamily`].

mod config;
pub mod densenet;
mod family;
pub mod layers;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
pub mod msdnet;
mod registry;
pub mod resnet;
pub mod shufflenet_v1;
pub mod shufflenet_v2;
mod stem;
pub mod vgg;
pub mod wide_resnet;

use std::ops::Range;

use burn::module::Module;
use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError};
use offramp_nn::Init;
use serde_json::{Map, Value};

pub use config::BackboneError;
pub use family::BackboneFamily;
pub use registry::{BackboneEntry, registry};
pub use stem::{Stem, StemOptions};

family::families! {
    /// A residual network.
    ResNet(resnet::ResNetConfig),
    /// A wide residual network.
    WideResNet(wide_resnet::WideResNetConfig),
    /// A network of plain convolutions.
    Vgg(vgg::VggConfig),
    /// MobileNetV2.
    MobileNetV2(mobilenet_v2::MobileNetV2Config),
    /// MobileNetV3.
    MobileNetV3(mobilenet_v3::MobileNetV3Config),
    /// ShuffleNetV1.
    ShuffleNetV1(shufflenet_v1::ShuffleNetV1Config),
    /// ShuffleNetV2.
    ShuffleNetV2(shufflenet_v2::ShuffleNetV2Config),
    /// A densely connected network.
    DenseNet(densenet::DenseNetConfig),
    /// A multi-scale dense network.
    MsdNet(msdnet::MsdNetConfig),
}

impl BackboneConfig {
    /// Builds the backbone with fresh parameters.
    pub fn init(&self, init: &mut Init) -> AnyBackbone {
        self.init_stages(0..self.stages().len(), init)
            .unwrap_or_else(|error| unreachable!("the whole is no piece: {error}"))
    }
}
