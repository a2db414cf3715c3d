//! Networks of plain 3x3 convolutions with batch norms (Simonyan and Zisserman, ICLR 2015).

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};

use crate::layers::{Activation, Chain, Pool, StemFamily, WithStem};
use crate::{BackboneEntry, Stem};

/// Settings of a backbone of this family.
pub type VggConfig = WithStem<Vgg>;

/// Settings of a VGG network: five stages of convolutions.
///
/// With `stem = "small"` the map is halved after each of the first three stages, and the names are
/// those of RepDistiller (`block0.0`); with `stem = "imagenet"` after all five, and the names are
/// torchvision's (`features.0`). There, torchvision's convolutions have biases, which are imported
/// and trained too.
#[derive(Clone, Debug, PartialEq)]
pub struct Vgg {
    name: &'static str,
    convolutions: [usize; 5],
}

const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

impl Vgg {
    /// So many convolutions in each stage.
    pub fn new(name: &'static str, convolutions: [usize; 5]) -> Self {
        Self { name, convolutions }
    }

    /// torchvision's number of the first layer of a stage: each convolution is three layers, each
    /// pooling one.
    fn first_layer(&self, stage: usize) -> usize {
        3 * self.convolutions[..stage].iter().sum::<usize>() + stage
    }
}

macro_rules! entry {
    ($name:literal, $convolutions:expr, $doc:literal) => {
        BackboneEntry {
            name: $name,
            doc: $doc,
            config: || WithStem::from(Vgg::new($name, $convolutions)).into(),
        }
    };
}

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry!(
        "vgg8",
        [1, 1, 1, 1, 1],
        "VGG-8 with batch norm (RepDistiller)"
    ),
    entry!(
        "vgg11",
        [1, 1, 2, 2, 2],
        "VGG-11 with batch norm (Simonyan and Zisserman, ICLR 2015)"
    ),
    entry!("vgg13", [2, 2, 2, 2, 2], "VGG-13 with batch norm"),
    entry!("vgg16", [2, 2, 3, 3, 3], "VGG-16 with batch norm"),
    entry!("vgg19", [2, 2, 4, 4, 4], "VGG-19 with batch norm"),
];

impl StemFamily for Vgg {
    fn name(&self) -> &str {
        self.name
    }

    fn stages(&self, stem: Stem) -> Vec<StageInfo> {
        let stage = |i: usize| match stem {
            Stem::Small => StageInfo {
                name: format!("block{i}"),
                channels: WIDTHS[i],
                reduction: 1 << i.min(3),
            },
            Stem::Imagenet => StageInfo {
                name: format!("features.{}", self.first_layer(i + 1) - 1),
                channels: WIDTHS[i],
                reduction: 2 << i,
            },
        };
        (0..5).map(stage).collect()
    }

    fn stage(&self, stage: usize, stem: Stem, init: &mut Init) -> Chain {
        let small = stem == Stem::Small;
        let mut chain = Chain::empty();
        if small && (1..4).contains(&stage) {
            chain.push("", Pool::max(2, 2, 0));
        }
        for i in 0..self.convolutions[stage] {
            let input = match (stage, i) {
                (0, 0) => 3,
                (_, 0) => WIDTHS[stage - 1],
                _ => WIDTHS[stage],
            };
            let name = |layer: usize| match small {
                true => format!("block{stage}.{}", 3 * i + layer),
                false => format!("features.{}", self.first_layer(stage) + 3 * i + layer),
            };
            let conv = Conv2dConfig::new(input, WIDTHS[stage], 3).with_bias(true);
            chain.push(name(0), conv.init(init));
            chain.push(name(1), BatchNorm2d::new(WIDTHS[stage], init));
            chain.push("", Activation::relu());
        }
        if !small {
            chain.push("", Pool::max(2, 2, 0));
        }
        chain
    }

    fn classifier_name(&self) -> &'static str {
        "classifier"
    }
}
