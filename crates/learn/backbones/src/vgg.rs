//! Networks of plain 3x3 convolutions with batch norms (Simonyan and Zisserman, ICLR 2015).

use offramp_graph::{Builder, Conv, GraphError, Value, Window};

use crate::{BackboneEntry, BackboneFamily, Stem, StemOptions};

/// A VGG network: five stages of convolutions.
///
/// With `stem = "small"` the map is halved after each of the first three stages, and the names are
/// those of RepDistiller (`block0.0`); with `stem = "imagenet"` after all five, and the names are
/// torchvision's (`features.0`). There, torchvision's convolutions have biases, which are imported
/// and trained too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vgg {
    name: &'static str,
    /// Of each stage.
    convolutions: [usize; 5],
    options: StemOptions,
}

const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

macro_rules! entry {
    ($name:literal, $convolutions:expr, $doc:literal) => {
        BackboneEntry {
            name: $name,
            doc: $doc,
            config: || {
                let vgg = Vgg {
                    name: $name,
                    convolutions: $convolutions,
                    options: StemOptions::default(),
                };
                vgg.into()
            },
        }
    };
}

/// The table of this family.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry!("vgg8", [1, 1, 1, 1, 1], "VGG-8 with batch norm (RepDistiller)"),
    entry!("vgg11", [1, 1, 2, 2, 2], "VGG-11 with batch norm (Simonyan and Zisserman, ICLR 2015)"),
    entry!("vgg13", [2, 2, 2, 2, 2], "VGG-13 with batch norm"),
    entry!("vgg16", [2, 2, 3, 3, 3], "VGG-16 with batch norm"),
    entry!("vgg19", [2, 2, 4, 4, 4], "VGG-19 with batch norm"),
];

impl BackboneFamily for Vgg {
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

    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let small = self.options.stem == Stem::Small;
        let halves = Window::square(2, 2, 0);
        let mut x = image;
        // torchvision counts a convolution as three layers, a pooling as one.
        let mut layer = 0;
        for (stage, width) in WIDTHS.into_iter().enumerate() {
            if small {
                layer = 0;
                if (1..4).contains(&stage) {
                    x = b.max_pool(x, halves)?;
                }
            }
            for _ in 0..self.convolutions[stage] {
                let name = |layer: usize| {
                    if small {
                        format!("block{stage}.{layer}")
                    } else {
                        format!("features.{layer}")
                    }
                };
                let names = [name(layer), name(layer + 1)];
                let names = names.each_ref().map(String::as_str);
                x = b.conv_bn_relu(names, x, Conv::new(width, 3).bias())?;
                layer += 3;
            }
            if small {
                b.stage(format!("block{stage}"), x);
            } else {
                x = b.max_pool(x, halves)?;
                b.stage(format!("features.{layer}"), x);
                layer += 1;
            }
        }
        Ok(())
    }

    fn classifier_name(&self) -> &'static str {
        "classifier"
    }
}
