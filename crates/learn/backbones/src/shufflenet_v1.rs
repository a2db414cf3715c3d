//! ShuffleNetV1 (Zhang et al., *ShuffleNet*, CVPR 2018), one width, in groups of 3.

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Window, Written};

use crate::{BackboneEntry, BackboneFamily, Stem, StemOptions};

/// ShuffleNetV1.
///
/// With `stem = "small"` it is the network of the code that distillation toolkits share
/// (kuangliu/pytorch-cifar, RepDistiller), whose names these are: a 1x1 convolution first, a ReLU
/// after each depthwise convolution, and in blocks that halve the map a quarter of the new channels
/// inside. With `"imagenet"` it is the paper's: a 3x3 convolution of stride 2 and pooling of stride 2
/// first, no ReLU after depthwise convolutions, a quarter of all channels inside.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ShuffleNetV1 {
    options: StemOptions,
}

const GROUPS: usize = 3;
const STEM_WIDTH: usize = 24;
const WIDTHS: [usize; 3] = [240, 480, 960];
const BLOCKS: [usize; 3] = [4, 8, 4];

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "shufflenetv1",
    doc: "ShuffleNetV1 1x in groups of 3 (Zhang et al., CVPR 2018), widths 240/480/960",
    config: || ShuffleNetV1::default().into(),
}];

impl BackboneFamily for ShuffleNetV1 {
    type Options = StemOptions;

    fn name(&self) -> &str {
        "shufflenetv1"
    }

    fn options(&self) -> StemOptions {
        self.options
    }

    fn with_options(self, options: StemOptions) -> Result<Self, String> {
        Ok(Self { options })
    }

    /// The stem belongs to the first stage.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let stem = self.options.stem;
        let mut x = match stem {
            Stem::Small => b.conv_bn_relu(["conv1", "bn1"], image, Conv::new(STEM_WIDTH, 1))?,
            Stem::Imagenet => {
                let conv = Conv::new(STEM_WIDTH, 3).stride(2);
                let x = b.conv_bn_relu(["conv1", "bn1"], image, conv)?;
                b.max_pool(x, Window::square(3, 2, 1))?
            }
        };
        for (stage, width) in WIDTHS.into_iter().enumerate() {
            for i in 0..BLOCKS[stage] {
                b.block();
                let name = format!("layer{}.{i}", stage + 1);
                x = b.scope(name, |b| block(b, x, width, i == 0, stem))?;
            }
            b.stage(format!("layer{}", stage + 1), x);
        }
        Ok(())
    }

    fn classifier_name(&self) -> &'static str {
        "linear"
    }
}

/// Two 1x1 convolutions in groups around a depthwise one, with an exchange between the groups;
/// added to the input, or joined with the pooled input where the map is halved. The first
/// convolution of all is not grouped, as its channels are few.
fn block(b: &mut Builder, x: Value, out: usize, halves: bool, stem: Stem) -> Written {
    let small = stem == Stem::Small;
    let input = b.shape(x)[0];
    let (new, stride) = if halves { (out - input, 2) } else { (out, 1) };
    let inner = if small { new / 4 } else { out / 4 };
    let groups = if input == STEM_WIDTH { 1 } else { GROUPS };

    let y = b.conv_bn_relu(["conv1", "bn1"], x, Conv::new(inner, 1).groups(groups))?;
    let y = b.shuffle(y, groups)?;
    let y = b.conv2d("conv2", y, Conv::depthwise(inner, 3).stride(stride))?;
    let mut y = b.batch_norm2d("bn2", y, BatchNorm::default())?;
    if small {
        y = b.relu(y)?;
    }
    let y = b.conv2d("conv3", y, Conv::new(new, 1).groups(GROUPS))?;
    let y = b.batch_norm2d("bn3", y, BatchNorm::default())?;
    let joined = if halves {
        let pooled = b.avg_pool(x, Window::square(3, 2, 1))?;
        b.concat(&[y, pooled])?
    } else {
        b.add(y, x)?
    };
    b.relu(joined)
}
