//! A chain of separable convolutions down to the shape of the last stage.

use offramp_core::registry::Kind;
use offramp_graph::{BatchNorm, Builder, Conv, Value, Written};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

use crate::head::{Head, HeadError, HeadPlace, classify};

/// What one step of the chain is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SepConvStyle {
    /// Depthwise 3x3 of stride 2, pointwise to the new width, batch norm, ReLU
    /// (Zhang et al., *MLCSD-Net*, Complex & Intelligent Systems 2024).
    #[default]
    Mlcsd,
    /// Depthwise 3x3 of stride 2, pointwise at the old width, batch norm, ReLU, depthwise 3x3,
    /// pointwise to the new width, batch norm, ReLU (Zhang et al., *Be Your Own Teacher*, ICCV
    /// 2019).
    Byot,
}

/// One step for every later stage of the backbone that halves the map, each halving it and taking
/// that stage's width; then pooling and a linear layer. After the last stage the chain is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SepConvHead {
    /// What one step of the chain is.
    pub style: SepConvStyle,
}

impl Kind for SepConvHead {
    const NAME: &'static str = "sepconv";
    const DOC: &'static str =
        "separable convolutions down to the last stage's shape (BYOT, SDN, MLCSD)";
}

impl Head for SepConvHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let later = place.stages[place.stage..].windows(2);
        let halving = later.filter(|pair| pair[1].reduction != pair[0].reduction);
        let mut convs = Vec::new();
        let mut width = place.here().channels;
        for pair in halving {
            let next = pair[1].channels;
            match self.style {
                SepConvStyle::Mlcsd => convs.push((next, 2)),
                SepConvStyle::Byot => convs.extend([(width, 2), (next, 1)]),
            }
            width = next;
        }
        let mut x = map;
        for (i, (width, stride)) in convs.into_iter().enumerate() {
            x = b.scope(format!("chain.{i}"), |b| sepconv(b, x, width, stride))?;
        }
        Ok(classify(b, x, place.classes)?)
    }
}

/// Depthwise 3x3, pointwise 1x1, batch norm, ReLU.
fn sepconv(b: &mut Builder, x: Value, width: usize, stride: usize) -> Written {
    let channels = b.shape(x)[0];
    let x = b.conv2d("depthwise", x, Conv::depthwise(channels, 3).stride(stride))?;
    let x = b.conv2d("pointwise", x, Conv::new(width, 1))?;
    let x = b.batch_norm2d("bn", x, BatchNorm::default())?;
    b.relu(x)
}
