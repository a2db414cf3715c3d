//! MobileNetV3 small (Howard et al., *Searching for MobileNetV3*, ICCV 2019), with torchvision's
//! names.

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};

use crate::layers::{Activation, Branches, Chain, Layer, StemFamily, WithStem};
use crate::mobilenet_v2::multiple_of_8;
use crate::{BackboneEntry, Stem};

/// Settings of a backbone of this family.
pub type MobileNetV3Config = WithStem<MobileNetV3>;

/// Settings of MobileNetV3 small. With `stem = "small"`, for 32- and 64-pixel images, the first
/// convolution and the first block have no stride.
///
/// The backbone ends with the last convolution of the map. The published classifier has a layer of
/// 1024 between it and the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MobileNetV3;

/// An inverted residual block.
struct Block {
    kernel: usize,
    inner: usize,
    out: usize,
    gate: bool,
    hard_swish: bool,
    stride: usize,
}

const fn block(
    kernel: usize,
    [inner, out]: [usize; 2],
    gate: bool,
    hard_swish: bool,
    stride: usize,
) -> Block {
    Block {
        kernel,
        inner,
        out,
        gate,
        hard_swish,
        stride,
    }
}

const BLOCKS: [Block; 11] = [
    block(3, [16, 16], true, false, 2),
    block(3, [72, 24], false, false, 2),
    block(3, [88, 24], false, false, 1),
    block(5, [96, 40], true, true, 2),
    block(5, [240, 40], true, true, 1),
    block(5, [240, 40], true, true, 1),
    block(5, [120, 48], true, true, 1),
    block(5, [144, 48], true, true, 1),
    block(5, [288, 96], true, true, 2),
    block(5, [576, 96], true, true, 1),
    block(5, [576, 96], true, true, 1),
];

/// Which of them are a stage: those before a stride, and the rest.
const STAGES: [std::ops::Range<usize>; 4] = [0..1, 1..3, 3..8, 8..11];

const STEM_WIDTH: usize = 16;
const LAST_WIDTH: usize = 576;

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "mobilenetv3-small",
    doc: "MobileNetV3 small (Howard et al., ICCV 2019), stride 8 for small images (or 32)",
    config: || WithStem::from(MobileNetV3).into(),
}];

impl MobileNetV3 {
    /// Stride of the first convolution, and of a block.
    fn stride(stem: Stem, block: Option<usize>) -> usize {
        match (stem, block) {
            (Stem::Small, None | Some(0)) => 1,
            _ => block.map_or(2, |block| BLOCKS[block].stride),
        }
    }
}

impl StemFamily for MobileNetV3 {
    fn name(&self) -> &str {
        "mobilenetv3-small"
    }

    fn stages(&self, stem: Stem) -> Vec<StageInfo> {
        let mut reduction = Self::stride(stem, None);
        let stages = STAGES.into_iter().enumerate().map(|(i, blocks)| {
            let last = blocks.end - 1;
            reduction *= blocks
                .map(|block| Self::stride(stem, Some(block)))
                .product::<usize>();
            let (number, channels) = match i {
                3 => (12, LAST_WIDTH),
                _ => (last + 1, BLOCKS[last].out),
            };
            StageInfo {
                name: format!("features.{number}"),
                channels,
                reduction,
            }
        });
        stages.collect()
    }

    /// The stem belongs to the first stage, the last convolution to the last.
    fn stage(&self, stage: usize, stem: Stem, init: &mut Init) -> Chain {
        let mut chain = Chain::empty();
        let mut input = match STAGES[stage].start {
            0 => STEM_WIDTH,
            start => BLOCKS[start - 1].out,
        };
        if stage == 0 {
            let conv = Conv2dConfig::new(3, input, 3).with_stride(Self::stride(stem, None));
            let first = unit(conv, input, Activation::hard_swish(), init);
            chain.push("features.0", first);
        }
        for i in STAGES[stage].clone() {
            let block = inverted_residual(&BLOCKS[i], input, Self::stride(stem, Some(i)), init);
            chain.push(format!("features.{}", i + 1), block);
            input = BLOCKS[i].out;
        }
        if stage == 3 {
            let conv = Conv2dConfig::new(input, LAST_WIDTH, 1);
            let last = unit(conv, LAST_WIDTH, Activation::hard_swish(), init);
            chain.push("features.12", last);
        }
        chain
    }

    fn classifier_name(&self) -> &'static str {
        "classifier.3"
    }
}

/// The batch norms are torchvision's: an eps of 0.001 and a momentum of 0.01.
fn norm(channels: usize, init: &Init) -> BatchNorm2d {
    BatchNorm2d::new(channels, init)
        .with_eps(1e-3)
        .with_momentum(0.01)
}

fn unit(conv: Conv2dConfig, channels: usize, activation: Activation, init: &mut Init) -> Chain {
    Chain::empty()
        .with("0", conv.init(init))
        .with("1", norm(channels, init))
        .with("", activation)
}

/// Widen, filter each channel, weigh the channels, narrow without an activation; added to the input
/// where the shape stays.
fn inverted_residual(block: &Block, input: usize, stride: usize, init: &mut Init) -> Chain {
    let &Block {
        kernel, inner, out, ..
    } = block;
    let activation = || match block.hard_swish {
        true => Activation::hard_swish(),
        false => Activation::relu(),
    };
    let mut chain = Chain::empty();
    let mut at = 0..;
    let mut name = || format!("block.{}", at.next().unwrap_or_default());
    if inner != input {
        let widen = Conv2dConfig::new(input, inner, 1);
        chain.push(name(), unit(widen, inner, activation(), init));
    }
    let depthwise = Conv2dConfig::new(inner, inner, kernel)
        .with_stride(stride)
        .with_groups(inner);
    chain.push(name(), unit(depthwise, inner, activation(), init));
    if block.gate {
        chain.push(name(), Layer::Gate(gate(inner, init)));
    }
    let narrow = Chain::empty()
        .with("0", Conv2dConfig::new(inner, out, 1).init(init))
        .with("1", norm(out, init));
    chain.push(name(), narrow);
    match stride == 1 && input == out {
        true => {
            let sum = Branches::unnamed([chain, Chain::empty()]);
            Chain::empty().with("", Layer::Sum(sum))
        }
        false => chain,
    }
}

/// A quarter of the channels in between.
fn gate(channels: usize, init: &mut Init) -> Chain {
    let narrow = multiple_of_8(channels as f64 / 4.0);
    let conv = |[input, out]: [usize; 2]| Conv2dConfig::new(input, out, 1).with_bias(true);
    Chain::empty()
        .with("fc1", conv([channels, narrow]).init(init))
        .with("", Activation::relu())
        .with("fc2", conv([narrow, channels]).init(init))
        .with("", Activation::hard_sigmoid())
}
