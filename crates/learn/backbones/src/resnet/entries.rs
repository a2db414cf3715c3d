//! The residual networks of the registry.

use super::{BlockKind, ResNet};
use crate::BackboneEntry;

const NARROW: [usize; 3] = [16, 32, 64];
const WIDE: [usize; 3] = [64, 128, 256];
const LARGE: [usize; 4] = [64, 128, 256, 512];

/// A residual network; the number of blocks is that of each layer.
macro_rules! entry {
    ($name:literal, $block:expr, $stem:literal, $blocks:expr, $widths:expr, $doc:literal) => {
        BackboneEntry {
            name: $name,
            doc: $doc,
            config: || ResNet::new($name, $block, $stem, &$blocks, &$widths).into(),
        }
    };
}

const BASIC: BlockKind = BlockKind::Basic;
const BOTTLENECK: BlockKind = BlockKind::Bottleneck {
    groups: 1,
    group_width: 64,
};
const GROUPED: BlockKind = BlockKind::Bottleneck {
    groups: 32,
    group_width: 4,
};

/// The table of this family.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry!("resnet8", BASIC, 16, [1; 3], NARROW, "ResNet-8 for small images (He et al., CVPR 2016), widths 16/32/64"),
    entry!("resnet14", BASIC, 16, [2; 3], NARROW, "ResNet-14 for small images, widths 16/32/64"),
    entry!("resnet20", BASIC, 16, [3; 3], NARROW, "ResNet-20 for small images, widths 16/32/64"),
    entry!("resnet32", BASIC, 16, [5; 3], NARROW, "ResNet-32 for small images, widths 16/32/64"),
    entry!("resnet44", BASIC, 16, [7; 3], NARROW, "ResNet-44 for small images, widths 16/32/64"),
    entry!("resnet56", BASIC, 16, [9; 3], NARROW, "ResNet-56 for small images, widths 16/32/64"),
    entry!("resnet110", BASIC, 16, [18; 3], NARROW, "ResNet-110 for small images, widths 16/32/64"),
    entry!("resnet8x4", BASIC, 32, [1; 3], WIDE, "ResNet-8x4 (RepDistiller), stem 32, widths 64/128/256"),
    entry!("resnet32x4", BASIC, 32, [5; 3], WIDE, "ResNet-32x4 (RepDistiller), stem 32, widths 64/128/256"),
    entry!("resnet18", BASIC, 64, [2, 2, 2, 2], LARGE, "ResNet-18, widths 64/128/256/512, 3x3 stem (or 7x7 with pooling)"),
    entry!("resnet34", BASIC, 64, [3, 4, 6, 3], LARGE, "ResNet-34, widths 64/128/256/512, 3x3 stem (or 7x7 with pooling)"),
    entry!("resnet50", BOTTLENECK, 64, [3, 4, 6, 3], LARGE, "ResNet-50, bottlenecks to 256/512/1024/2048, 3x3 stem (or 7x7 with pooling)"),
    entry!("resnet101", BOTTLENECK, 64, [3, 4, 23, 3], LARGE, "ResNet-101, bottlenecks to 256/512/1024/2048, 3x3 stem (or 7x7 with pooling)"),
    entry!("resnet152", BOTTLENECK, 64, [3, 8, 36, 3], LARGE, "ResNet-152, bottlenecks to 256/512/1024/2048, 3x3 stem (or 7x7 with pooling)"),
    entry!("resnext50-32x4d", GROUPED, 64, [3, 4, 6, 3], LARGE, "ResNeXt-50 32x4d (Xie et al., CVPR 2017): bottlenecks in 32 groups"),
];
