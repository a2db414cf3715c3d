//! MobileNetV3 small (Howard et al., *Searching for MobileNetV3*, ICCV 2019), with torchvision's
//! names.

use std::ops::Range;

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Written};

use crate::mobilenet_v2::multiple_of_8;
use crate::{BackboneEntry, BackboneFamily, Stem, StemOptions};

/// MobileNetV3 small. With `stem = "small"`, for 32- and 64-pixel images, the first convolution and
/// the first block have no stride.
///
/// The backbone ends with the last convolution of the map. The published classifier has a layer of
/// 1024 between it and the classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MobileNetV3 {
    options: StemOptions,
}

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
const STAGES: [Range<usize>; 4] = [0..1, 1..3, 3..8, 8..11];

const STEM_WIDTH: usize = 16;
const LAST_WIDTH: usize = 576;

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "mobilenetv3-small",
    doc: "MobileNetV3 small (Howard et al., ICCV 2019), stride 8 for small images (or 32)",
    config: || MobileNetV3::default().into(),
}];

impl MobileNetV3 {
    /// Stride of the first convolution, and of a block.
    fn stride(&self, block: Option<usize>) -> usize {
        match (self.options.stem, block) {
            (Stem::Small, None | Some(0)) => 1,
            _ => block.map_or(2, |block| BLOCKS[block].stride),
        }
    }
}

impl BackboneFamily for MobileNetV3 {
    type Options = StemOptions;

    fn name(&self) -> &str {
        "mobilenetv3-small"
    }

    fn options(&self) -> StemOptions {
        self.options
    }

    fn with_options(self, options: StemOptions) -> Result<Self, String> {
        Ok(Self { options })
    }

    /// The stem belongs to the first stage, the last convolution to the last.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let stem = Conv::new(STEM_WIDTH, 3).stride(self.stride(None));
        let mut x = b.scope("features.0", |b| unit(b, image, stem, true))?;
        for (stage, blocks) in STAGES.into_iter().enumerate() {
            let mut last = blocks.end;
            for i in blocks {
                b.block();
                let stride = self.stride(Some(i));
                let name = format!("features.{}", i + 1);
                x = b.scope(name, |b| inverted_residual(b, x, &BLOCKS[i], stride))?;
            }
            if stage == 3 {
                last += 1;
                b.block();
                let conv = Conv::new(LAST_WIDTH, 1);
                x = b.scope(format!("features.{last}"), |b| unit(b, x, conv, true))?;
            }
            b.stage(format!("features.{last}"), x);
        }
        Ok(())
    }

    fn classifier_name(&self) -> &'static str {
        "classifier.3"
    }
}

/// Convolution and batch norm; the batch norms are torchvision's: an eps of 0.001 and a momentum of
/// 0.01.
fn conv_bn(b: &mut Builder, x: Value, conv: Conv) -> Written {
    let x = b.conv2d("0", x, conv)?;
    b.batch_norm2d("1", x, BatchNorm::default().eps(1e-3).momentum(0.01))
}

/// Convolution, batch norm and hard swish or ReLU.
fn unit(b: &mut Builder, x: Value, conv: Conv, hard_swish: bool) -> Written {
    let x = conv_bn(b, x, conv)?;
    if hard_swish {
        b.hard_swish(x)
    } else {
        b.relu(x)
    }
}

/// Widen, filter each channel, weigh the channels, narrow without an activation; added to the input
/// where the shape stays.
fn inverted_residual(b: &mut Builder, x: Value, block: &Block, stride: usize) -> Written {
    let &Block {
        kernel,
        inner,
        out,
        gate,
        hard_swish,
        ..
    } = block;
    let input = b.shape(x)[0];
    let mut numbers = 0..;
    let mut name = || format!("block.{}", numbers.next().unwrap_or_default());
    let mut y = x;
    if inner != input {
        y = b.scope(name(), |b| unit(b, y, Conv::new(inner, 1), hard_swish))?;
    }
    let depthwise = Conv::depthwise(inner, kernel).stride(stride);
    y = b.scope(name(), |b| unit(b, y, depthwise, hard_swish))?;
    if gate {
        y = b.scope(name(), |b| squeeze_excitation(b, y))?;
    }
    y = b.scope(name(), |b| conv_bn(b, y, Conv::new(out, 1)))?;
    if stride == 1 && input == out {
        b.add(y, x)
    } else {
        Ok(y)
    }
}

/// `x * gate(mean over positions of x)` (Hu et al., *Squeeze-and-Excitation Networks*, CVPR 2018), with
/// a quarter of the channels in between.
fn squeeze_excitation(b: &mut Builder, x: Value) -> Written {
    let channels = b.shape(x)[0];
    let narrow = multiple_of_8(channels as f64 / 4.0);
    let gate = b.adaptive_avg_pool(x, [1, 1])?;
    let gate = b.conv2d("fc1", gate, Conv::new(narrow, 1).bias())?;
    let gate = b.relu(gate)?;
    let gate = b.conv2d("fc2", gate, Conv::new(channels, 1).bias())?;
    let gate = b.hard_sigmoid(gate)?;
    b.mul(x, gate)
}
