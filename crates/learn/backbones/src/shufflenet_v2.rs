//! ShuffleNetV2 (Ma et al., *Practical Guidelines for Efficient CNN Architecture Design*, ECCV
//! 2018), with torchvision's names.

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};

use crate::layers::{Activation, Branches, Chain, Layer, Pool, StemFamily, WithStem};
use crate::{BackboneEntry, Stem};

/// Settings of a backbone of this family.
pub type ShuffleNetV2Config = WithStem<ShuffleNetV2>;

/// Settings of ShuffleNetV2. With `stem = "small"`, for 32- and 64-pixel images, the first
/// convolution has no stride and no pooling follows.
#[derive(Clone, Debug, PartialEq)]
pub struct ShuffleNetV2 {
    name: &'static str,
    /// Of the three stages and of the last convolution.
    widths: [usize; 4],
}

const STEM_WIDTH: usize = 24;
const BLOCKS: [usize; 3] = [4, 8, 4];

macro_rules! entry {
    ($name:literal, $widths:expr, $doc:literal) => {
        BackboneEntry {
            name: $name,
            doc: $doc,
            config: || {
                let config = ShuffleNetV2 {
                    name: $name,
                    widths: $widths,
                };
                WithStem::from(config).into()
            },
        }
    };
}

/// The table of this family.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry!("shufflenetv2-x0.5", [48, 96, 192, 1024], "ShuffleNetV2 0.5x (Ma et al., ECCV 2018), widths 48/96/192/1024"),
    entry!("shufflenetv2", [116, 232, 464, 1024], "ShuffleNetV2 1x (Ma et al., ECCV 2018), widths 116/232/464/1024"),
    entry!("shufflenetv2-x1.5", [176, 352, 704, 1024], "ShuffleNetV2 1.5x, widths 176/352/704/1024"),
    entry!("shufflenetv2-x2.0", [244, 488, 976, 2048], "ShuffleNetV2 2x, widths 244/488/976/2048"),
];

impl StemFamily for ShuffleNetV2 {
    fn name(&self) -> &str {
        self.name
    }

    fn stages(&self, stem: Stem) -> Vec<StageInfo> {
        let first = match stem {
            Stem::Small => 2,
            Stem::Imagenet => 8,
        };
        let stage = |i: usize| {
            let (name, channels) = match i {
                2 => ("conv5".to_owned(), self.widths[3]),
                _ => (format!("stage{}", i + 2), self.widths[i]),
            };
            StageInfo {
                name,
                channels,
                reduction: first << i,
            }
        };
        (0..3).map(stage).collect()
    }

    /// The stem belongs to the first stage, the last convolution to the last.
    fn stage(&self, stage: usize, stem: Stem, init: &mut Init) -> Chain {
        let mut chain = Chain::empty();
        let mut input = match stage {
            0 => STEM_WIDTH,
            _ => self.widths[stage - 1],
        };
        if stage == 0 {
            let small = stem == Stem::Small;
            let stride = if small { 1 } else { 2 };
            let conv = Conv2dConfig::new(3, input, 3).with_stride(stride);
            chain.push("conv1", unit(["0", "1"], conv, input, init));
            if !small {
                chain.push("", Pool::max(3, 2, 1));
            }
        }
        for i in 0..BLOCKS[stage] {
            let out = self.widths[stage];
            let block = match i {
                0 => halving([input, out], init),
                _ => keeping(out, init),
            };
            chain.push(format!("stage{}.{i}", stage + 2), block);
            input = out;
        }
        if stage == 2 {
            let conv = Conv2dConfig::new(input, self.widths[3], 1);
            chain.push("conv5", unit(["0", "1"], conv, self.widths[3], init));
        }
        chain
    }
}

/// Convolution, batch norm and ReLU, the first two under the names given.
fn unit(
    [conv_name, norm_name]: [&str; 2],
    conv: Conv2dConfig,
    out: usize,
    init: &mut Init,
) -> Chain {
    Chain::empty()
        .with(conv_name, conv.init(init))
        .with(norm_name, BatchNorm2d::new(out, init))
        .with("", Activation::relu())
}

/// 1x1, depthwise and 1x1 convolutions: the branch that both kinds of block have.
fn branch2([input, half]: [usize; 2], stride: usize, init: &mut Init) -> Chain {
    Chain::empty()
        .with(
            "",
            unit(["0", "1"], Conv2dConfig::new(input, half, 1), half, init),
        )
        .with("3", depthwise(half, stride, init))
        .with("4", BatchNorm2d::new(half, init))
        .with(
            "",
            unit(["5", "6"], Conv2dConfig::new(half, half, 1), half, init),
        )
}

fn depthwise(channels: usize, stride: usize, init: &mut Init) -> offramp_nn::Conv2d {
    Conv2dConfig::new(channels, channels, 3)
        .with_stride(stride)
        .with_groups(channels)
        .init(init)
}

/// Both branches see the whole map, and halve it.
fn halving([input, out]: [usize; 2], init: &mut Init) -> Chain {
    let half = out / 2;
    let branch1 = Chain::empty()
        .with("0", depthwise(input, 2, init))
        .with("1", BatchNorm2d::new(input, init))
        .with(
            "",
            unit(["2", "3"], Conv2dConfig::new(input, half, 1), half, init),
        );
    let branches = Branches::new(())
        .with("branch1", branch1)
        .with("branch2", branch2([input, half], 2, init));
    Chain::empty()
        .with("", Layer::Concat(branches))
        .with("", Layer::Shuffle(2))
}

/// Half of the channels stay as they are.
fn keeping(channels: usize, init: &mut Init) -> Chain {
    let half = channels / 2;
    let branches = Branches::new(())
        .with("branch1", Chain::empty())
        .with("branch2", branch2([half, half], 1, init));
    Chain::empty()
        .with("", Layer::Halves(branches))
        .with("", Layer::Shuffle(2))
}
