//! MobileNetV2 (Sandler et al., *Inverted Residuals and Linear Bottlenecks*, CVPR 2018), with
//! torchvision's names.

use std::ops::Range;

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Written};
use serde::{Deserialize, Serialize};

use crate::{BackboneEntry, BackboneFamily, Stem};

/// What a recipe may set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct MobileNetV2Options {
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

/// MobileNetV2.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MobileNetV2 {
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
const STAGES: [Range<usize>; 5] = [0..1, 1..2, 2..3, 3..5, 5..7];

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "mobilenetv2",
    doc: "MobileNetV2 (Sandler et al., CVPR 2018), stride 4 for small images (or 32)",
    config: || MobileNetV2::default().into(),
}];

/// The nearest multiple of 8, never less than 9/10 of `channels`, as in the authors' code.
pub(crate) fn multiple_of_8(channels: f64) -> usize {
    let nearest = (((channels + 4.0) as usize) / 8 * 8).max(8);
    if (nearest as f64) < 0.9 * channels {
        nearest + 8
    } else {
        nearest
    }
}

impl MobileNetV2 {
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

impl BackboneFamily for MobileNetV2 {
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

    /// The stem belongs to the first stage, the last convolution to the last.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let stem = Conv::new(self.width(32), 3).stride(self.stride(None));
        let mut x = b.scope("features.0", |b| unit(b, image, stem))?;
        let mut number = 0;
        for (stage, groups) in STAGES.into_iter().enumerate() {
            for group in groups {
                let [expansion, channels, count, _] = BLOCKS[group];
                let out = self.width(channels);
                for i in 0..count {
                    let stride = if i == 0 { self.stride(Some(group)) } else { 1 };
                    number += 1;
                    b.block();
                    let name = format!("features.{number}");
                    x = b.scope(name, |b| inverted_residual(b, x, out, expansion, stride))?;
                }
            }
            if stage == 4 {
                number += 1;
                b.block();
                let conv = Conv::new(self.last_width(), 1);
                x = b.scope(format!("features.{number}"), |b| unit(b, x, conv))?;
            }
            b.stage(format!("features.{number}"), x);
        }
        Ok(())
    }

    fn classifier_name(&self) -> &'static str {
        "classifier.1"
    }
}

/// Convolution, batch norm and ReLU6.
fn unit(b: &mut Builder, x: Value, conv: Conv) -> Written {
    let x = b.conv2d("0", x, conv)?;
    let x = b.batch_norm2d("1", x, BatchNorm::default())?;
    b.clamp(x, 0.0, 6.0)
}

/// Widen by a 1x1 convolution, filter each channel, narrow by a 1x1 convolution without an
/// activation; added to the input where the shape stays.
fn inverted_residual(
    b: &mut Builder,
    x: Value,
    out: usize,
    expansion: usize,
    stride: usize,
) -> Written {
    let input = b.shape(x)[0];
    let inner = expansion * input;
    let mut numbers = 0..;
    let mut name = || format!("conv.{}", numbers.next().unwrap_or_default());
    let mut y = x;
    if expansion != 1 {
        y = b.scope(name(), |b| unit(b, y, Conv::new(inner, 1)))?;
    }
    let depthwise = Conv::depthwise(inner, 3).stride(stride);
    y = b.scope(name(), |b| unit(b, y, depthwise))?;
    y = b.conv2d(name(), y, Conv::new(out, 1))?;
    y = b.batch_norm2d(name(), y, BatchNorm::default())?;
    if stride == 1 && input == out {
        b.add(y, x)
    } else {
        Ok(y)
    }
}
