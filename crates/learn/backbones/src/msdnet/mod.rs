//! Multi-scale dense networks (Huang et al., *Multi-Scale Dense Networks for Resource Efficient
//! Image Classification*, ICLR 2018), with the names of the public code.

mod options;
mod plan;

use offramp_graph::{Builder, Conv, GraphError, Value, Window, Written};

use crate::{BackboneEntry, BackboneFamily};
use plan::Planned;

pub(crate) use options::{Growth, MsdNetOptions, Prune};

/// The table of this family.
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    BackboneEntry {
        name: "msdnet",
        doc: "MSDNet for small images, 7 blocks of 4 and 2 layers: anytime prediction (Huang et al., ICLR 2018)",
        config: || {
            small(
                "msdnet",
                Defaults {
                    blocks: 7,
                    base: 4,
                    step: 2,
                    growth: Growth::Even,
                },
            )
            .into()
        },
    },
    BackboneEntry {
        name: "msdnet-batch",
        doc: "MSDNet for small images, 5 blocks of 1 to 5 layers: budgeted batches",
        config: || {
            small(
                "msdnet-batch",
                Defaults {
                    blocks: 5,
                    base: 1,
                    step: 1,
                    growth: Growth::Linear,
                },
            )
            .into()
        },
    },
    BackboneEntry {
        name: "msdnet-imagenet",
        doc: "MSDNet for 224-pixel images, 4 scales, 5 blocks of 4 layers (step 4; 6 and 7 are published too)",
        config: || {
            let config = MsdNet {
                name: "msdnet-imagenet",
                imagenet: true,
                channels: 32,
                growth_rate: 16,
                factors: &[1, 2, 4, 4],
                defaults: Defaults {
                    blocks: 5,
                    base: 4,
                    step: 4,
                    growth: Growth::Even,
                },
                options: MsdNetOptions::default(),
            };
            config.resolved().into()
        },
    },
];

fn small(name: &'static str, defaults: Defaults) -> MsdNet {
    let config = MsdNet {
        name,
        imagenet: false,
        channels: 16,
        growth_rate: 6,
        factors: &[1, 2, 4],
        defaults,
        options: MsdNetOptions::default(),
    };
    config.resolved()
}

/// An MSDNet. A stage is a block; exits look at the coarsest scale, and the finer ones are handed on
/// beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MsdNet {
    name: &'static str,
    /// Whether the first layer is that for 224-pixel images.
    imagenet: bool,
    /// Channels after the first layer, for a scale of factor 1.
    channels: usize,
    /// Channels that a layer adds, for a scale of factor 1.
    growth_rate: usize,
    /// What both are multiplied by at each scale, finest first; also the width of a bottleneck in
    /// units of what it leads to.
    factors: &'static [usize],
    defaults: Defaults,
    options: MsdNetOptions,
}

/// The numbers of layers of a registered network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Defaults {
    blocks: usize,
    base: usize,
    step: usize,
    growth: Growth,
}

/// No network of the field has more layers; more would be a slip of the pen.
const MOST_LAYERS: usize = 1000;

impl BackboneFamily for MsdNet {
    type Options = MsdNetOptions;

    fn name(&self) -> &str {
        self.name
    }

    /// With the registered network's own numbers where nothing is set.
    fn options(&self) -> MsdNetOptions {
        let (options, defaults) = (self.options, self.defaults);
        MsdNetOptions {
            blocks: options.blocks.or(Some(defaults.blocks)),
            base: options.base.or(Some(defaults.base)),
            step: options.step.or(Some(defaults.step)),
            growth: options.growth.or(Some(defaults.growth)),
            prune: options.prune,
        }
    }

    fn with_options(mut self, options: MsdNetOptions) -> Result<Self, String> {
        self.options = options;
        self = self.resolved();
        for (name, value) in [
            ("blocks", self.options.blocks),
            ("base", self.options.base),
            ("step", self.options.step),
        ] {
            let value = value.unwrap_or_default();
            if !(1..=MOST_LAYERS).contains(&value) {
                return Err(format!("{name} is {value}; it must be 1 to {MOST_LAYERS}"));
            }
        }
        let layers = self.steps().iter().sum();
        if !(self.factors.len()..=MOST_LAYERS).contains(&layers) {
            return Err(format!(
                "blocks, base and step make {layers} layers; there must be {} to {MOST_LAYERS}",
                self.factors.len()
            ));
        }
        Ok(self)
    }

    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let mut maps = vec![image];
        for (i, (layers, _)) in self.plan().iter().enumerate() {
            for (place, layer) in layers.iter().enumerate() {
                b.block();
                maps = b.scope(format!("blocks.{i}.{place}"), |b| {
                    self.layer(b, &maps, layer)
                })?;
            }
            let coarsest = maps.last().copied().unwrap_or(image);
            b.stage(format!("blocks.{i}"), coarsest);
        }
        Ok(())
    }
}

/// Maps are those of the scales that are left, finest first.
impl MsdNet {
    /// With the numbers of the registered network where nothing is set.
    fn resolved(mut self) -> Self {
        self.options = BackboneFamily::options(&self);
        self
    }

    fn layer(
        &self,
        b: &mut Builder,
        maps: &[Value],
        layer: &Planned,
    ) -> Result<Vec<Value>, GraphError> {
        match *layer {
            Planned::Stem { channels } => self.stem(b, maps[0], channels),
            Planned::Dense { inputs, scales, .. } => {
                let given_up = inputs - scales;
                let scale = |i: usize| {
                    let here = i + given_up;
                    let finer = here.checked_sub(1).map(|finer| maps[finer]);
                    let scale = self.factors.len() - scales + i;
                    b.scope(format!("layers.{i}"), |b| {
                        self.dense(b, finer, maps[here], scale)
                    })
                };
                (0..scales).map(scale).collect()
            }
            Planned::Transition {
                channels: [_, to],
                scales,
            } => {
                let factors = &self.factors[self.factors.len() - scales..];
                let scale = |(i, (factor, map)): (usize, (&usize, &Value))| {
                    let conv = Conv::new(to * factor, 1);
                    b.scope(format!("m.{i}"), |b| b.conv_bn_relu(FIRST, *map, conv))
                };
                factors.iter().zip(maps).enumerate().map(scale).collect()
            }
        }
    }

    /// The first layer: the finest scale from the image, every other from the one before.
    fn stem(
        &self,
        b: &mut Builder,
        image: Value,
        channels: usize,
    ) -> Result<Vec<Value>, GraphError> {
        let mut x = image;
        let mut scale = |(i, factor): (usize, &usize)| {
            let conv = |kernel| Conv::new(channels * factor, kernel);
            x = b.scope(format!("layers.{i}"), |b| match (i, self.imagenet) {
                (0, true) => {
                    let x = b.conv_bn_relu(["0", "1"], x, conv(7).stride(2).bias())?;
                    b.max_pool(x, Window::square(3, 2, 1))
                }
                (0, false) => b.conv_bn_relu(FIRST, x, conv(3)),
                _ => b.conv_bn_relu(FIRST, x, conv(3).stride(2)),
            })?;
            Ok(x)
        };
        self.factors.iter().enumerate().map(&mut scale).collect()
    }

    /// The new map of a scale: `x`, joined with what is computed from the next finer map and from `x`.
    /// The finest scale that is kept has no finer one unless that is given up here.
    fn dense(&self, b: &mut Builder, finer: Option<Value>, x: Value, scale: usize) -> Written {
        let new = self.growth_rate * self.factors[scale];
        let width = self.factors[scale];
        match finer {
            Some(finer) => {
                let finer_width = self.factors[scale - 1];
                let down = b.scope("conv_down", |b| {
                    bottleneck(b, finer, new / 2, finer_width, 2)
                })?;
                let same = b.scope("conv_normal", |b| bottleneck(b, x, new / 2, width, 1))?;
                b.concat(&[x, down, same])
            }
            None => {
                let same = b.scope("conv_normal", |b| bottleneck(b, x, new, width, 1))?;
                b.concat(&[x, same])
            }
        }
    }
}

/// The names of a first convolution and its batch norm.
const FIRST: [&str; 2] = ["net.0", "net.1"];

/// A 1x1 convolution to at most `width` times the new channels, and a 3x3 one.
fn bottleneck(b: &mut Builder, x: Value, new: usize, width: usize, stride: usize) -> Written {
    let inner = b.shape(x)[0].min(width * new);
    let x = b.conv_bn_relu(FIRST, x, Conv::new(inner, 1))?;
    b.conv_bn_relu(["net.3", "net.4"], x, Conv::new(new, 3).stride(stride))
}
