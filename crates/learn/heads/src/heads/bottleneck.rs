//! A bottleneck that goes to the last stage's shape in one step.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, Conv, Value};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

use crate::head::{Head, HeadError, HeadPlace, classify};

/// 1x1 convolution to a quarter of the last stage's width, `k x k` convolution of
/// stride `k` (`k` = the reduction that is left), 1x1 convolution to the last
/// stage's width, each with batch norm and ReLU; then pooling and a linear layer
/// (the heads of the public port of Zhang et al., *Be Your Own Teacher*, ICCV
/// 2019). After the last stage only pooling and the linear layer are left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BottleneckHead {}

impl Kind for BottleneckHead {
    const NAME: &'static str = "bottleneck";
    const DOC: &'static str =
        "1x1, k x k of stride k, 1x1 convolutions to the last stage's shape (BYOT's public port)";
}

impl Head for BottleneckHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let (width, k) = (
            place.last().channels,
            place.last().reduction / place.here().reduction,
        );
        let mut x = map;
        if k > 1 {
            let middle = (width / 4).max(1);
            let convs = [
                Conv::new(middle, 1),
                Conv::new(middle, k).stride(k).padding(0),
                Conv::new(width, 1),
            ];
            for (i, conv) in convs.into_iter().enumerate() {
                x = b.scope(format!("layers.{i}"), |b| {
                    b.conv_bn_relu(["conv", "bn"], x, conv)
                })?;
            }
        }
        Ok(classify(b, x, place.classes)?)
    }
}
