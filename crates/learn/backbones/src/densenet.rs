//! Densely connected networks (Huang et al., CVPR 2017), with torchvision's names.

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};

use crate::layers::{Activation, Branches, Chain, Layer, Pool, StemFamily, WithStem};
use crate::{BackboneEntry, Stem};

/// Settings of a backbone of this family.
pub type DenseNetConfig = WithStem<DenseNet>;

/// Settings of a DenseNet. With `stem = "small"`, for 32- and 64-pixel images, the first
/// convolution is 3x3 without stride and no pooling follows.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseNet {
    name: &'static str,
    layers: [usize; 4],
    growth: usize,
}

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "densenet121",
    doc: "DenseNet-121 (Huang et al., CVPR 2017), growth 32, widths 256/512/1024/1024",
    config: || WithStem::from(DenseNet::new("densenet121", [6, 12, 24, 16], 32)).into(),
}];

impl DenseNet {
    /// So many layers in each of four dense blocks, each of which adds `growth` channels.
    pub fn new(name: &'static str, layers: [usize; 4], growth: usize) -> Self {
        Self {
            name,
            layers,
            growth,
        }
    }

    /// Channels after the dense block of a stage.
    fn channels(&self, stage: usize) -> usize {
        let before = match stage {
            0 => 2 * self.growth,
            _ => self.channels(stage - 1) / 2,
        };
        before + self.layers[stage] * self.growth
    }
}

impl StemFamily for DenseNet {
    fn name(&self) -> &str {
        self.name
    }

    fn stages(&self, stem: Stem) -> Vec<StageInfo> {
        let first = match stem {
            Stem::Small => 1,
            Stem::Imagenet => 4,
        };
        let stage = |i: usize| StageInfo {
            name: format!("features.denseblock{}", i + 1),
            channels: self.channels(i),
            reduction: first << i,
        };
        (0..4).map(stage).collect()
    }

    /// The stem belongs to the first stage, a transition to the stage that it leads to, and the
    /// last batch norm to the last.
    fn stage(&self, stage: usize, stem: Stem, init: &mut Init) -> Chain {
        let mut chain = Chain::empty();
        let mut channels = match stage {
            0 => {
                let width = 2 * self.growth;
                push_stem(&mut chain, width, stem, init);
                width
            }
            _ => {
                let before = self.channels(stage - 1);
                let name = format!("features.transition{stage}");
                chain.push(name, transition(before, init));
                before / 2
            }
        };
        for i in 0..self.layers[stage] {
            let name = format!("features.denseblock{}.denselayer{}", stage + 1, i + 1);
            chain.push(name, dense_layer(channels, self.growth, init));
            channels += self.growth;
        }
        if stage == 3 {
            chain.push("features.norm5", BatchNorm2d::new(channels, init));
            chain.push("", Activation::relu());
        }
        chain
    }

    fn classifier_name(&self) -> &'static str {
        "classifier"
    }
}

fn push_stem(chain: &mut Chain, width: usize, stem: Stem, init: &mut Init) {
    let conv = match stem {
        Stem::Small => Conv2dConfig::new(3, width, 3),
        Stem::Imagenet => Conv2dConfig::new(3, width, 7).with_stride(2),
    };
    chain.push("features.conv0", conv.init(init));
    chain.push("features.norm0", BatchNorm2d::new(width, init));
    chain.push("", Activation::relu());
    if stem == Stem::Imagenet {
        chain.push("", Pool::max(3, 2, 1));
    }
}

/// Half the channels, half the side.
fn transition(channels: usize, init: &mut Init) -> Chain {
    let conv = Conv2dConfig::new(channels, channels / 2, 1);
    Chain::empty()
        .with("norm", BatchNorm2d::new(channels, init))
        .with("", Activation::relu())
        .with("conv", conv.init(init))
        .with("", Pool::mean(2, 2, 0))
}

/// The input, joined with `growth` new channels computed from it.
fn dense_layer(channels: usize, growth: usize, init: &mut Init) -> Chain {
    let inner = 4 * growth;
    let new = Chain::empty()
        .with("norm1", BatchNorm2d::new(channels, init))
        .with("", Activation::relu())
        .with("conv1", Conv2dConfig::new(channels, inner, 1).init(init))
        .with("norm2", BatchNorm2d::new(inner, init))
        .with("", Activation::relu())
        .with("conv2", Conv2dConfig::new(inner, growth, 3).init(init));
    let joined = Layer::Concat(Branches::unnamed([Chain::empty(), new]));
    Chain::empty().with("", joined)
}
