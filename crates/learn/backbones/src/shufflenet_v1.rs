//! ShuffleNetV1 (Zhang et al., *ShuffleNet*, CVPR 2018), one width, in groups of 3.

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};

use crate::layers::{Activation, Branches, Chain, Layer, Pool, StemFamily, WithStem};
use crate::{BackboneEntry, Stem};

/// Settings of a backbone of this family.
pub type ShuffleNetV1Config = WithStem<ShuffleNetV1>;

/// Settings of ShuffleNetV1.
///
/// With `stem = "small"` it is the network of the code that distillation toolkits share
/// (kuangliu/pytorch-cifar, RepDistiller), whose names these are: a 1x1 convolution first, a ReLU
/// after each depthwise convolution, and in blocks that halve the map a quarter of the new channels
/// inside. With `"imagenet"` it is the paper's: a 3x3 convolution of stride 2 and pooling of stride 2
/// first, no ReLU after depthwise convolutions, a quarter of all channels inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShuffleNetV1;

const GROUPS: usize = 3;
const STEM_WIDTH: usize = 24;
const WIDTHS: [usize; 3] = [240, 480, 960];
const BLOCKS: [usize; 3] = [4, 8, 4];

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "shufflenetv1",
    doc: "ShuffleNetV1 1x in groups of 3 (Zhang et al., CVPR 2018), widths 240/480/960",
    config: || WithStem::from(ShuffleNetV1).into(),
}];

impl StemFamily for ShuffleNetV1 {
    fn name(&self) -> &str {
        "shufflenetv1"
    }

    fn stages(&self, stem: Stem) -> Vec<StageInfo> {
        let first = match stem {
            Stem::Small => 2,
            Stem::Imagenet => 8,
        };
        let stage = |i: usize| StageInfo {
            name: format!("layer{}", i + 1),
            channels: WIDTHS[i],
            reduction: first << i,
        };
        (0..3).map(stage).collect()
    }

    /// The stem belongs to the first stage.
    fn stage(&self, stage: usize, stem: Stem, init: &mut Init) -> Chain {
        let mut chain = Chain::empty();
        let mut input = match stage {
            0 => STEM_WIDTH,
            _ => WIDTHS[stage - 1],
        };
        if stage == 0 {
            let small = stem == Stem::Small;
            let conv = match small {
                true => Conv2dConfig::new(3, input, 1),
                false => Conv2dConfig::new(3, input, 3).with_stride(2),
            };
            chain.push("conv1", conv.init(init));
            chain.push("bn1", BatchNorm2d::new(input, init));
            chain.push("", Activation::relu());
            if !small {
                chain.push("", Pool::max(3, 2, 1));
            }
        }
        for i in 0..BLOCKS[stage] {
            let channels = [input, WIDTHS[stage]];
            let name = format!("layer{}.{i}", stage + 1);
            chain.push(name, block(channels, i == 0, stem, init));
            input = WIDTHS[stage];
        }
        chain
    }

    fn classifier_name(&self) -> &'static str {
        "linear"
    }
}

/// Two 1x1 convolutions in groups around a depthwise one, with an exchange between the groups;
/// added to the input, or joined with the pooled input where the map is halved. The first
/// convolution of all is not grouped, as its channels are few.
fn block([input, out]: [usize; 2], halves: bool, stem: Stem, init: &mut Init) -> Chain {
    let small = stem == Stem::Small;
    let (new, stride) = if halves { (out - input, 2) } else { (out, 1) };
    let inner = if small { new / 4 } else { out / 4 };
    let groups = if input == STEM_WIDTH { 1 } else { GROUPS };
    let narrow = Conv2dConfig::new(input, inner, 1).with_groups(groups);
    let depthwise = Conv2dConfig::new(inner, inner, 3)
        .with_stride(stride)
        .with_groups(inner);
    let widen = Conv2dConfig::new(inner, new, 1).with_groups(GROUPS);
    let mut body = Chain::empty()
        .with("conv1", narrow.init(init))
        .with("bn1", BatchNorm2d::new(inner, init))
        .with("", Activation::relu())
        .with("", Layer::Shuffle(groups))
        .with("conv2", depthwise.init(init))
        .with("bn2", BatchNorm2d::new(inner, init));
    if small {
        body.push("", Activation::relu());
    }
    body.push("conv3", widen.init(init));
    body.push("bn3", BatchNorm2d::new(new, init));
    let joined = match halves {
        true => {
            let pooled = Chain::empty().with("", Pool::mean(3, 2, 1));
            Layer::Concat(Branches::unnamed([body, pooled]))
        }
        false => Layer::Sum(Branches::unnamed([body, Chain::empty()])),
    };
    Chain::empty().with("", joined).with("", Activation::relu())
}
