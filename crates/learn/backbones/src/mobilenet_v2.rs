//! MobileNetV2 (Sandler et al., *Inverted Residuals and Linear Bottlenecks*, CVPR 2018), with
//! torchvision's names.

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};
use serde::{Deserialize, Serialize};

use crate::layers::{Activation, Branches, Chain, Layer, LayerFamily};
use crate::{BackboneEntry, Stem};

/// What a recipe may set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MobileNetV2Options {
    /// With `small`, for 32- and 64-pixel images, the first convolution and the blocks of 24
    /// channels have no stride.
    pub stem: Stem,
    /// What all numbers of channels are multiplied by, then rounded to multiples of 8.
    pub width: f64,
}

impl Default for MobileNetV2Options {
    fn default() -> Self {
        Self {
            stem: Stem::Small,
            width: 1.0,
        }
    }
}

/// Settings of MobileNetV2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MobileNetV2Config {
    options: MobileNetV2Options,
}

/// Expansion, channels, number of blocks and stride of the first.
const BLOCKS: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

/// Which of them are a stage: those before a stride, and the rest.
const STAGES: [std::ops::Range<usize>; 5] = [0..1, 1..2, 2..3, 3..5, 5..7];

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "mobilenetv2",
    doc: "MobileNetV2 (Sandler et al., CVPR 2018), stride 4 for small images (or 32)",
    config: || MobileNetV2Config::default().into(),
}];

/// The nearest multiple of 8, never less than 9/10 of `channels`, as in the authors' code.
pub(crate) fn multiple_of_8(channels: f64) -> usize {
    let nearest = (((channels + 4.0) as usize) / 8 * 8).max(8);
    match (nearest as f64) < 0.9 * channels {
        true => nearest + 8,
        false => nearest,
    }
}

impl MobileNetV2Config {
    fn width(&self, channels: usize) -> usize {
        multiple_of_8(channels as f64 * self.options.width)
    }

    /// The last convolution is not made narrower than published.
    fn last_width(&self) -> usize {
        multiple_of_8(1280.0 * self.options.width.max(1.0))
    }

    /// Stride of the first convolution, and of the first block of a group.
    fn stride(&self, group: Option<usize>) -> usize {
        let published = group.map_or(2, |group| BLOCKS[group][3]);
        match (self.options.stem, group) {
            (Stem::Small, None | Some(1)) => 1,
            _ => published,
        }
    }
}

impl LayerFamily for MobileNetV2Config {
    type Options = MobileNetV2Options;

    fn name(&self) -> &str {
        "mobilenetv2"
    }

    fn options(&self) -> MobileNetV2Options {
        self.options
    }

    fn with_options(mut self, options: MobileNetV2Options) -> Result<Self, String> {
        let width = options.width;
        if !(0.1..=10.0).contains(&width) {
            return Err(format!("width is {width}; it must be 0.1 to 10"));
        }
        self.options = options;
        Ok(self)
    }

    fn stages(&self) -> Vec<StageInfo> {
        let mut reduction = self.stride(None);
        let stages = STAGES.into_iter().enumerate().map(|(i, groups)| {
            let last = groups.end - 1;
            reduction *= groups
                .map(|group| self.stride(Some(group)))
                .product::<usize>();
            let (number, channels) = match i {
                4 => (18, self.last_width()),
                _ => {
                    let blocks = BLOCKS[..=last].iter().map(|block| block[2]);
                    (blocks.sum(), self.width(BLOCKS[last][1]))
                }
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
    fn stage(&self, stage: usize, init: &mut Init) -> Chain {
        let mut chain = Chain::empty();
        let mut input = self.width(match STAGES[stage].start {
            0 => 32,
            start => BLOCKS[start - 1][1],
        });
        if stage == 0 {
            let conv = Conv2dConfig::new(3, input, 3).with_stride(self.stride(None));
            chain.push("features.0", unit(conv, input, init));
        }
        for group in STAGES[stage].clone() {
            let [expansion, channels, count, _] = BLOCKS[group];
            let before: usize = BLOCKS[..group].iter().map(|block| block[2]).sum();
            let out = self.width(channels);
            for i in 0..count {
                let stride = if i == 0 { self.stride(Some(group)) } else { 1 };
                let block = inverted_residual([input, out], expansion, stride, init);
                chain.push(format!("features.{}", 1 + before + i), block);
                input = out;
            }
        }
        if stage == 4 {
            let out = self.last_width();
            let conv = Conv2dConfig::new(input, out, 1);
            chain.push("features.18", unit(conv, out, init));
        }
        chain
    }

    fn classifier_name(&self) -> &'static str {
        "classifier.1"
    }
}

/// Convolution, batch norm and ReLU6.
fn unit(conv: Conv2dConfig, channels: usize, init: &mut Init) -> Chain {
    Chain::empty()
        .with("0", conv.init(init))
        .with("1", BatchNorm2d::new(channels, init))
        .with("", Activation::relu6())
}

/// Widen by a 1x1 convolution, filter each channel, narrow by a 1x1 convolution without an
/// activation; added to the input where the shape stays.
fn inverted_residual(
    [input, out]: [usize; 2],
    expansion: usize,
    stride: usize,
    init: &mut Init,
) -> Chain {
    let inner = expansion * input;
    let mut chain = Chain::empty();
    let mut at = 0..;
    let mut name = || format!("conv.{}", at.next().unwrap_or_default());
    if expansion != 1 {
        chain.push(
            name(),
            unit(Conv2dConfig::new(input, inner, 1), inner, init),
        );
    }
    let depthwise = Conv2dConfig::new(inner, inner, 3)
        .with_stride(stride)
        .with_groups(inner);
    chain.push(name(), unit(depthwise, inner, init));
    chain.push(name(), Conv2dConfig::new(inner, out, 1).init(init));
    chain.push(name(), BatchNorm2d::new(out, init));
    match stride == 1 && input == out {
        true => {
            let sum = Branches::unnamed([chain, Chain::empty()]);
            Chain::empty().with("", Layer::Sum(sum))
        }
        false => chain,
    }
}
