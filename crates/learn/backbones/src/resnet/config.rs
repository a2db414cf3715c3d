//! What a recipe may set of a residual network, and how one is built.

use std::ops::Range;

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};
use serde::{Deserialize, Serialize};

use super::ResNet;
use super::block::Block;
use crate::{BackboneFamily, Stem};

/// The kind of a network's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the outer ones of four times as many channels.
    Bottleneck {
        /// Groups of the 3x3 convolution.
        groups: usize,
        /// Channels of each group, for 64 planes.
        group_width: usize,
    },
}

impl BlockKind {
    /// Channels after the first convolution.
    pub fn inner_channels(self, planes: usize) -> usize {
        match self {
            Self::Basic => planes,
            Self::Bottleneck {
                groups,
                group_width,
            } => planes * group_width / 64 * groups,
        }
    }

    /// Channels of the block's output.
    pub fn channels(self, planes: usize) -> usize {
        match self {
            Self::Basic => planes,
            Self::Bottleneck { .. } => 4 * planes,
        }
    }
}

/// What a block adds when its input has another shape than its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortcutKind {
    /// Every `stride`-th pixel, new channels filled with zeros, half of them
    /// before and half after (option A of He et al.); no parameters.
    #[serde(alias = "A")]
    Pad,
    /// 1x1 convolution and batch norm (option B), PyTorch's `downsample`.
    #[default]
    #[serde(alias = "B")]
    Conv,
}

/// Where exits may be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taps {
    /// After each of `layer1`, `layer2`, ...
    #[default]
    Layers,
    /// Also in the middle of the last block of each: after `relu(bn1(conv1(x)))` (MLCSD-Net), so
    /// that there are twice as many stages.
    Inner,
}

/// What a recipe may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResNetOptions {
    /// Shortcuts of blocks that change the shape.
    pub shortcut: ShortcutKind,
    /// The first layers: a 3x3 convolution, or a 7x7 one of stride 2 and 3x3 maximum pooling of
    /// stride 2.
    pub stem: Stem,
    /// Start every block as the identity: scale 0 in its last batch norm (Goyal et al., 2017).
    pub zero_init_residual: bool,
    /// Where exits may be attached.
    pub taps: Taps,
}

/// Settings of a [`ResNet`].
#[derive(Clone, Debug, PartialEq)]
pub struct ResNetConfig {
    name: &'static str,
    block: BlockKind,
    stem_width: usize,
    blocks: &'static [usize],
    widths: &'static [usize],
    options: ResNetOptions,
}

impl ResNetConfig {
    /// `blocks[i]` blocks of `widths[i]` planes in stage `i`; the first block of every stage but the
    /// first halves the map.
    pub fn new(
        name: &'static str,
        block: BlockKind,
        stem_width: usize,
        blocks: &'static [usize],
        widths: &'static [usize],
    ) -> Self {
        Self {
            name,
            block,
            stem_width,
            blocks,
            widths,
            options: ResNetOptions::default(),
        }
    }

    fn stages_per_layer(&self) -> usize {
        match self.options.taps {
            Taps::Layers => 1,
            Taps::Inner => 2,
        }
    }

    /// The stem belongs to the first layer.
    fn init_layers(&self, range: Range<usize>, init: &mut Init) -> ResNet {
        let (conv1, bn1) = match range.start {
            0 => {
                let stem = match self.options.stem {
                    Stem::Small => Conv2dConfig::new(3, self.stem_width, 3),
                    Stem::Imagenet => Conv2dConfig::new(3, self.stem_width, 7).with_stride(2),
                };
                let conv1 = stem.init(init);
                (Some(conv1), Some(BatchNorm2d::new(self.stem_width, init)))
            }
            _ => (None, None),
        };
        let per_layer = self.stages_per_layer();
        let stages = self.stages().into_iter().take(per_layer * range.end);
        let stages = stages.skip(per_layer * range.start).collect();
        let mut layer = |i: usize| {
            let (&blocks, &planes) = (self.blocks.get(i)?, self.widths.get(i)?);
            let before = match i {
                0 => self.stem_width,
                _ => self.block.channels(self.widths[i - 1]),
            };
            let mut block = |block: usize| {
                let stride = if i > 0 && block == 0 { 2 } else { 1 };
                let input = match block {
                    0 => before,
                    _ => self.block.channels(planes),
                };
                Block::new(self.block, [input, planes], stride, self.options, init)
            };
            range
                .contains(&i)
                .then(|| (0..blocks).map(&mut block).collect())
        };
        ResNet {
            conv1,
            bn1,
            layer1: layer(0),
            layer2: layer(1),
            layer3: layer(2),
            layer4: layer(3),
            pool_stem: self.options.stem == Stem::Imagenet,
            inner_taps: self.options.taps == Taps::Inner,
            stages,
        }
    }
}

impl BackboneFamily for ResNetConfig {
    type Options = ResNetOptions;
    type Net = ResNet;

    fn name(&self) -> &str {
        self.name
    }

    fn options(&self) -> ResNetOptions {
        self.options
    }

    fn with_options(mut self, options: ResNetOptions) -> Result<Self, String> {
        self.options = options;
        Ok(self)
    }

    fn stages(&self) -> Vec<StageInfo> {
        let stem = match self.options.stem {
            Stem::Small => 1,
            Stem::Imagenet => 4,
        };
        let mut stages = Vec::new();
        for (i, (&blocks, &planes)) in self.blocks.iter().zip(self.widths).enumerate() {
            let stage = |name, channels| StageInfo {
                name,
                channels,
                reduction: stem << i,
            };
            if self.options.taps == Taps::Inner {
                let name = format!("layer{}.{}.bn1", i + 1, blocks - 1);
                stages.push(stage(name, self.block.inner_channels(planes)));
            }
            stages.push(stage(
                format!("layer{}", i + 1),
                self.block.channels(planes),
            ));
        }
        stages
    }

    fn init_stages(&self, stages: Range<usize>, init: &mut Init) -> Result<ResNet, String> {
        let per_layer = self.stages_per_layer();
        match stages.start % per_layer {
            0 => {
                let layers = stages.start / per_layer..stages.end.div_ceil(per_layer);
                Ok(self.init_layers(layers, init))
            }
            _ => Err(self.stages()[stages.start - 1].name.clone()),
        }
    }
}
