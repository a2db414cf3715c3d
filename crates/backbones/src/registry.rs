//! The table of backbones: help texts, documentation and tests are made from it.

use crate::config::BackboneConfig;
use crate::resnet::{ResNetConfig, Stem};

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct BackboneEntry {
    /// What a recipe calls it.
    pub name: &'static str,
    /// One line on what it is.
    pub doc: &'static str,
    /// Its settings with default options.
    pub config: fn() -> BackboneConfig,
}

/// A residual network for small images: `3 * n` blocks at full, half and quarter size.
macro_rules! small {
    ($name:literal, $n:literal, $stem:literal, $widths:expr, $doc:literal) => {
        BackboneEntry {
            name: $name,
            doc: $doc,
            config: || {
                BackboneConfig::ResNet(ResNetConfig::new(
                    $name,
                    Stem::Small,
                    $stem,
                    &[$n; 3],
                    &$widths,
                ))
            },
        }
    };
}

const NARROW: [usize; 3] = [16, 32, 64];
const WIDE: [usize; 3] = [64, 128, 256];

static REGISTRY: &[BackboneEntry] = &[
    small!(
        "resnet8",
        1,
        16,
        NARROW,
        "ResNet-8 for small images (He et al., CVPR 2016), widths 16/32/64"
    ),
    small!(
        "resnet14",
        2,
        16,
        NARROW,
        "ResNet-14 for small images, widths 16/32/64"
    ),
    small!(
        "resnet20",
        3,
        16,
        NARROW,
        "ResNet-20 for small images, widths 16/32/64"
    ),
    small!(
        "resnet32",
        5,
        16,
        NARROW,
        "ResNet-32 for small images, widths 16/32/64"
    ),
    small!(
        "resnet44",
        7,
        16,
        NARROW,
        "ResNet-44 for small images, widths 16/32/64"
    ),
    small!(
        "resnet56",
        9,
        16,
        NARROW,
        "ResNet-56 for small images, widths 16/32/64"
    ),
    small!(
        "resnet110",
        18,
        16,
        NARROW,
        "ResNet-110 for small images, widths 16/32/64"
    ),
    small!(
        "resnet8x4",
        1,
        32,
        WIDE,
        "ResNet-8x4 (RepDistiller), stem 32, widths 64/128/256"
    ),
    small!(
        "resnet32x4",
        5,
        32,
        WIDE,
        "ResNet-32x4 (RepDistiller), stem 32, widths 64/128/256"
    ),
    BackboneEntry {
        name: "resnet18",
        doc: "ResNet-18, widths 64/128/256/512, 3x3 stem (or 7x7 with pooling)",
        config: || {
            BackboneConfig::ResNet(ResNetConfig::new(
                "resnet18",
                Stem::Small,
                64,
                &[2, 2, 2, 2],
                &[64, 128, 256, 512],
            ))
        },
    },
    BackboneEntry {
        name: "resnet34",
        doc: "ResNet-34, widths 64/128/256/512, 3x3 stem (or 7x7 with pooling)",
        config: || {
            BackboneConfig::ResNet(ResNetConfig::new(
                "resnet34",
                Stem::Small,
                64,
                &[3, 4, 6, 3],
                &[64, 128, 256, 512],
            ))
        },
    },
];

/// All backbones.
pub fn registry() -> &'static [BackboneEntry] {
    REGISTRY
}
