//! MSDNet's classifier.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, Conv, Value};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

use super::MOST_CHANNELS;
use crate::head::{Head, HeadError, HeadPlace, classify};

/// Two 3x3 convolutions of stride 2 with batch norm and ReLU, pooling, a linear
/// layer (Huang et al., *Multi-Scale Dense Networks*, ICLR 2018).
///
/// MSDNet pools 2x2 because its maps are 8x8; here the pooling is over all
/// positions, which is the same for such maps and takes any other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvHead {
    /// Channels of its convolutions.
    pub width: ConvWidth,
}

/// Channels of [`ConvHead`]'s convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConvWidth {
    /// `"map"`: as many as the map has, as in MSDNet for ImageNet.
    Map,
    /// A number; MSDNet for CIFAR has 128.
    #[serde(untagged)]
    Channels(usize),
}

impl Default for ConvWidth {
    fn default() -> Self {
        Self::Channels(128)
    }
}

impl Kind for ConvHead {
    const NAME: &'static str = "conv";
    const DOC: &'static str = "two 3x3 convolutions of stride 2 (MSDNet)";

    fn problem(&self) -> Option<String> {
        match self.width {
            ConvWidth::Channels(0) => Some("option width: 0 channels".to_owned()),
            ConvWidth::Channels(width) if width > MOST_CHANNELS => Some(format!(
                "option width: {width} channels; at most {MOST_CHANNELS} are built"
            )),
            _ => None,
        }
    }
}

impl Head for ConvHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let width = match self.width {
            ConvWidth::Channels(width) => width,
            ConvWidth::Map => place.here().channels,
        };
        let mut x = map;
        for name in ["conv1", "conv2"] {
            let conv = Conv::new(width, 3).stride(2);
            x = b.scope(name, |b| b.conv_bn_relu(["conv", "bn"], x, conv))?;
        }
        Ok(classify(b, x, place.classes)?)
    }
}
