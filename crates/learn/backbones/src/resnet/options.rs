//! What a recipe may set of a residual network, and the kinds of its blocks.

use serde::{Deserialize, Serialize};

use crate::Stem;

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
