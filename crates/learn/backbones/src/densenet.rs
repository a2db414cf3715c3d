//! Densely connected networks (Huang et al., CVPR 2017), with torchvision's names.

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Window, Written};

use crate::{BackboneEntry, BackboneFamily, Stem, StemOptions};

/// A DenseNet: in each of four dense blocks every layer adds `growth` channels. With `stem = "small"`,
/// for 32- and 64-pixel images, the first convolution is 3x3 without stride and no pooling follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DenseNet {
    name: &'static str,
    /// Of each dense block.
    layers: [usize; 4],
    growth: usize,
    options: StemOptions,
}

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[BackboneEntry {
    name: "densenet121",
    doc: "DenseNet-121 (Huang et al., CVPR 2017), growth 32, widths 256/512/1024/1024",
    config: || {
        let net = DenseNet {
            name: "densenet121",
            layers: [6, 12, 24, 16],
            growth: 32,
            options: StemOptions::default(),
        };
        net.into()
    },
}];

impl BackboneFamily for DenseNet {
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

    /// The stem belongs to the first stage, a transition to the stage that it leads to, and the last
    /// batch norm to the last.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let width = 2 * self.growth;
        let names = ["features.conv0", "features.norm0"];
        let mut x = match self.options.stem {
            Stem::Small => b.conv_bn_relu(names, image, Conv::new(width, 3))?,
            Stem::Imagenet => {
                let x = b.conv_bn_relu(names, image, Conv::new(width, 7).stride(2))?;
                b.max_pool(x, Window::square(3, 2, 1))?
            }
        };
        for (stage, layers) in self.layers.into_iter().enumerate() {
            if stage > 0 {
                b.block();
                x = b.scope(format!("features.transition{stage}"), |b| transition(b, x))?;
            }
            for i in 0..layers {
                let name = format!("features.denseblock{}.denselayer{}", stage + 1, i + 1);
                b.block();
                x = b.scope(name, |b| dense_layer(b, x, self.growth))?;
            }
            if stage == 3 {
                x = b.batch_norm2d("features.norm5", x, BatchNorm::default())?;
                x = b.relu(x)?;
            }
            b.stage(format!("features.denseblock{}", stage + 1), x);
        }
        Ok(())
    }

    fn classifier_name(&self) -> &'static str {
        "classifier"
    }
}

/// `conv(relu(bn(x)))`.
fn bn_relu_conv(b: &mut Builder, [bn, conv]: [&str; 2], x: Value, layer: Conv) -> Written {
    let x = b.batch_norm2d(bn, x, BatchNorm::default())?;
    let x = b.relu(x)?;
    b.conv2d(conv, x, layer)
}

/// Half the channels, half the side.
fn transition(b: &mut Builder, x: Value) -> Written {
    let half = b.shape(x)[0] / 2;
    let x = bn_relu_conv(b, ["norm", "conv"], x, Conv::new(half, 1))?;
    b.avg_pool(x, Window::square(2, 2, 0))
}

/// The input, joined with `growth` new channels computed from it.
fn dense_layer(b: &mut Builder, x: Value, growth: usize) -> Written {
    let new = bn_relu_conv(b, ["norm1", "conv1"], x, Conv::new(4 * growth, 1))?;
    let new = bn_relu_conv(b, ["norm2", "conv2"], new, Conv::new(growth, 3))?;
    b.concat(&[x, new])
}
