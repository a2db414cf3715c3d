//! ShuffleNetV2 (Ma et al., *Practical Guidelines for Efficient CNN Architecture Design*, ECCV
//! 2018), with torchvision's names.

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Window, Written};

use crate::{BackboneEntry, BackboneFamily, Stem, StemOptions};

/// ShuffleNetV2. With `stem = "small"`, for 32- and 64-pixel images, the first convolution has no
/// stride and no pooling follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShuffleNetV2 {
    name: &'static str,
    /// Of the three stages and of the last convolution.
    widths: [usize; 4],
    options: StemOptions,
}

const STEM_WIDTH: usize = 24;
const BLOCKS: [usize; 3] = [4, 8, 4];

macro_rules! entry {
    ($name:literal, $widths:expr, $doc:literal) => {
        BackboneEntry {
            name: $name,
            doc: $doc,
            config: || {
                let net = ShuffleNetV2 {
                    name: $name,
                    widths: $widths,
                    options: StemOptions::default(),
                };
                net.into()
            },
        }
    };
}

/// The table of this family.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry!("shufflenetv2-x0.5", [48, 96, 192, 1024], "ShuffleNetV2 0.5x (Ma et al., ECCV 2018), widths 48/96/192/1024"),
    entry!("shufflenetv2", [116, 232, 464, 1024], "ShuffleNetV2 1x (Ma et al., ECCV 2018), widths 116/232/464/1024"),
    entry!("shufflenetv2-x1.5", [176, 352, 704, 1024], "ShuffleNetV2 1.5x, widths 176/352/704/1024"),
    entry!("shufflenetv2-x2.0", [244, 488, 976, 2048], "ShuffleNetV2 2x, widths 244/488/976/2048"),
];

impl BackboneFamily for ShuffleNetV2 {
    type Options = StemOptions;

    fn name(&self) -> &str {
        self.name
    }

    fn options(&self) -> StemOptions {
        self.options
    }

    fn with_options(self, options: StemOptions) -> Result<Self, String> {
        Ok(Self { options, ..self })
    }

    /// The stem belongs to the first stage, the last convolution to the last.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let conv = Conv::new(STEM_WIDTH, 3);
        let names = ["conv1.0", "conv1.1"];
        let mut x = match self.options.stem {
            Stem::Small => b.conv_bn_relu(names, image, conv)?,
            Stem::Imagenet => {
                let x = b.conv_bn_relu(names, image, conv.stride(2))?;
                b.max_pool(x, Window::square(3, 2, 1))?
            }
        };
        for (stage, blocks) in BLOCKS.into_iter().enumerate() {
            let half = self.widths[stage] / 2;
            for i in 0..blocks {
                b.block();
                let name = format!("stage{}.{i}", stage + 2);
                x = b.scope(name, |b| match i {
                    0 => halving(b, x, half),
                    _ => keeping(b, x, half),
                })?;
            }
            let mut name = format!("stage{}", stage + 2);
            if stage == 2 {
                b.block();
                x = b.conv_bn_relu(["conv5.0", "conv5.1"], x, Conv::new(self.widths[3], 1))?;
                name = "conv5".to_owned();
            }
            b.stage(name, x);
        }
        Ok(())
    }
}

/// `bn(depthwise(x))`.
fn depthwise_bn(b: &mut Builder, [conv, bn]: [&str; 2], x: Value, stride: usize) -> Written {
    let channels = b.shape(x)[0];
    let x = b.conv2d(conv, x, Conv::depthwise(channels, 3).stride(stride))?;
    b.batch_norm2d(bn, x, BatchNorm::default())
}

/// 1x1, depthwise and 1x1 convolutions: the branch that both kinds of block have.
fn branch2(b: &mut Builder, x: Value, half: usize, stride: usize) -> Written {
    b.scope("branch2", |b| {
        let x = b.conv_bn_relu(["0", "1"], x, Conv::new(half, 1))?;
        let x = depthwise_bn(b, ["3", "4"], x, stride)?;
        b.conv_bn_relu(["5", "6"], x, Conv::new(half, 1))
    })
}

/// Both branches see the whole map, and halve it.
fn halving(b: &mut Builder, x: Value, half: usize) -> Written {
    let first = b.scope("branch1", |b| {
        let x = depthwise_bn(b, ["0", "1"], x, 2)?;
        b.conv_bn_relu(["2", "3"], x, Conv::new(half, 1))
    })?;
    let second = branch2(b, x, half, 2)?;
    let joined = b.concat(&[first, second])?;
    b.shuffle(joined, 2)
}

/// Half of the channels stay as they are.
fn keeping(b: &mut Builder, x: Value, half: usize) -> Written {
    let first = b.slice(x, 0, 0..half, 1)?;
    let second = b.slice(x, 0, half..2 * half, 1)?;
    let second = branch2(b, second, half, 1)?;
    let joined = b.concat(&[first, second])?;
    b.shuffle(joined, 2)
}
