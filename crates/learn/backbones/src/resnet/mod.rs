//! Residual networks (He, Zhang, Ren and Sun, *Deep Residual Learning for Image
//! Recognition*, CVPR 2016) and their grouped form (Xie et al., CVPR 2017).

mod entries;
mod options;

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Window, Written};

use crate::{BackboneFamily, Stem};

pub(crate) use entries::ENTRIES;
pub use options::{BlockKind, ResNetOptions, ShortcutKind, Taps};

/// A residual network. Stage 0 is the stem and `layer1`.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNet {
    name: &'static str,
    block: BlockKind,
    stem_width: usize,
    blocks: &'static [usize],
    widths: &'static [usize],
    options: ResNetOptions,
}

impl ResNet {
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

    fn stem(&self, b: &mut Builder, image: Value) -> Written {
        let conv = |kernel| Conv::new(self.stem_width, kernel);
        match self.options.stem {
            Stem::Small => b.conv_bn_relu(["conv1", "bn1"], image, conv(3)),
            Stem::Imagenet => {
                let x = b.conv_bn_relu(["conv1", "bn1"], image, conv(7).stride(2))?;
                b.max_pool(x, Window::square(3, 2, 1))
            }
        }
    }

    /// `relu(f(x) + shortcut(x))`; a stage called `inner` ends after `relu(bn1(conv1(x)))` where asked
    /// for.
    fn block(
        &self,
        b: &mut Builder,
        x: Value,
        planes: usize,
        stride: usize,
        inner: Option<String>,
    ) -> Written {
        let (width, out) = (
            self.block.inner_channels(planes),
            self.block.channels(planes),
        );
        let first = match self.block {
            BlockKind::Basic => Conv::new(width, 3).stride(stride),
            BlockKind::Bottleneck { .. } => Conv::new(width, 1),
        };
        let y = b.conv_bn_relu(["conv1", "bn1"], x, first)?;
        if let Some(inner) = inner {
            b.stage(inner, y);
        }
        // The last batch norm may start at 0, so that the block starts as the identity.
        let last = if self.options.zero_init_residual {
            BatchNorm::default().zeroed()
        } else {
            BatchNorm::default()
        };
        let y = match self.block {
            // Two 3x3 convolutions.
            BlockKind::Basic => {
                let y = b.conv2d("conv2", y, Conv::new(out, 3))?;
                b.batch_norm2d("bn2", y, last)?
            }
            // 1x1, 3x3 and 1x1; the 3x3 one has the stride, as in torchvision, and may be grouped.
            BlockKind::Bottleneck { groups, .. } => {
                let conv2 = Conv::new(width, 3).stride(stride).groups(groups);
                let y = b.conv_bn_relu(["conv2", "bn2"], y, conv2)?;
                let y = b.conv2d("conv3", y, Conv::new(out, 1))?;
                b.batch_norm2d("bn3", y, last)?
            }
        };
        let shortcut = self.shortcut(b, x, out, stride)?;
        let sum = b.add(y, shortcut)?;
        b.relu(sum)
    }

    /// What a block adds to its output: its input, brought to the output's shape.
    fn shortcut(&self, b: &mut Builder, x: Value, out: usize, stride: usize) -> Written {
        let channels = b.shape(x)[0];
        if stride == 1 && channels == out {
            return Ok(x);
        }
        match self.options.shortcut {
            ShortcutKind::Conv => {
                let x = b.conv2d("downsample.0", x, Conv::new(out, 1).stride(stride))?;
                b.batch_norm2d("downsample.1", x, BatchNorm::default())
            }
            ShortcutKind::Pad => {
                let x = match stride {
                    1 => x,
                    stride => {
                        let rows = b.slice(x, 1, .., stride)?;
                        b.slice(rows, 2, .., stride)?
                    }
                };
                match out - channels {
                    0 => Ok(x),
                    new => b.pad_channels(x, new / 2, new - new / 2),
                }
            }
        }
    }
}

impl BackboneFamily for ResNet {
    type Options = ResNetOptions;

    fn name(&self) -> &str {
        self.name
    }

    fn options(&self) -> ResNetOptions {
        self.options
    }

    fn with_options(self, options: ResNetOptions) -> Result<Self, String> {
        Ok(Self { options, ..self })
    }

    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let mut x = self.stem(b, image)?;
        for (stage, (&blocks, &planes)) in self.blocks.iter().zip(self.widths).enumerate() {
            let layer = format!("layer{}", stage + 1);
            for i in 0..blocks {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let cut = self.options.taps == Taps::Inner && i + 1 == blocks;
                let inner = cut.then(|| format!("{layer}.{i}.bn1"));
                b.block();
                x = b.scope(format!("{layer}.{i}"), |b| {
                    self.block(b, x, planes, stride, inner)
                })?;
            }
            b.stage(layer, x);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{AnyBackbone, BackboneConfig};
    use burn::module::Module;
    use burn::tensor::Tensor;
    use offramp_core::{Backbone, Cost, Features, MapShape, default_device};
    use offramp_nn::Init;
    use serde_json::{Value, json};

    fn build(name: &str, options: Value) -> AnyBackbone {
        let Value::Object(options) = options else {
            panic!("options are a table")
        };
        let config = BackboneConfig::named(name).unwrap();
        let mut init = Init::new(0, &default_device().unwrap());
        config.with_options(options).unwrap().init(&mut init)
    }

    #[test]
    fn names_are_those_of_torchvision() {
        let names = offramp_core::params::collect(&build("resnet18", json!({})));
        for name in [
            "conv1.weight",
            "bn1.running_var",
            "layer1.0.conv1.weight",
            "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.running_mean",
            "layer4.1.bn2.bias",
        ] {
            assert!(names.contains_key(name), "{name}");
        }
        // torchvision's resnet18 without fc (2) and num_batches_tracked (20): 122 - 22 tensors.
        assert_eq!(names.len(), 100);
    }

    /// The same function cut in twice as many pieces.
    #[test]
    fn inner_taps_change_no_output() {
        let device = default_device().unwrap();
        for options in [json!({}), json!({"shortcut": "A"})] {
            let mut inner = options.clone();
            inner["taps"] = "inner".into();
            let [layers, inner] = [build("resnet8", options), build("resnet8", inner)];
            let x = Tensor::<4>::ones([2, 3, 8, 8], &device);
            let (mut whole, mut halves) = (Features::from(x.clone()), Features::from(x));
            for stage in 0..3 {
                whole = layers.forward_stage(stage, whole);
                halves = inner.forward_stage(2 * stage, halves);
                assert_eq!(halves.map.dims(), whole.map.dims());
                halves = inner.forward_stage(2 * stage + 1, halves);
                whole.map.to_data().assert_eq(&halves.map.to_data(), true);
                assert!(halves.carried.is_empty());
            }
            let shape = MapShape::new(3, 8, 8);
            let sum =
                |net: &AnyBackbone| net.costs(shape).iter().map(|(cost, _)| *cost).sum::<Cost>();
            assert_eq!(sum(&layers), sum(&inner));
            assert_eq!(inner.stages()[2].name, "layer2.0.bn1");
        }
    }

    #[test]
    fn zero_init_makes_a_block_the_identity_on_positive_maps() {
        let net = build("resnet8", json!({"zero-init-residual": true})).valid();
        let x = Tensor::<4>::full([1, 16, 4, 4], 0.5, &default_device().unwrap());
        // Block 0 of the stage is the stem.
        let y = net.forward_block(0, 1, x.clone().into()).map;
        y.into_data().assert_eq(&x.into_data(), true);
    }
}
