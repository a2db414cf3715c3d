//! What a recipe may set of an MSDNet, and the plan of its layers.

use std::ops::Range;

use offramp_core::StageInfo;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use super::MsdNet;
use super::unit::Unit;
use crate::BackboneFamily;

/// How many layers each block has after the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// `step` layers.
    #[default]
    Even,
    /// `step i + 1` layers in block `i`, counted from 0.
    Linear,
}

/// When the finest scale is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prune {
    /// After every `1 / scales` of the layers.
    #[default]
    Max,
    /// As late as possible, so that the last layer has one scale.
    Min,
}

/// What a recipe may set. The defaults are those of the registered network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MsdNetOptions {
    /// Number of blocks; an exit may follow each.
    pub blocks: Option<usize>,
    /// Layers of the first block.
    pub base: Option<usize>,
    /// Layers of the others, see [`Growth`].
    pub step: Option<usize>,
    /// How the number of layers grows.
    pub growth: Option<Growth>,
    /// When scales are given up.
    pub prune: Prune,
}

/// Settings of an [`MsdNet`].
#[derive(Clone, Debug, PartialEq)]
pub struct MsdNetConfig {
    pub(super) name: &'static str,
    /// Whether the first layer is that for 224-pixel images.
    pub(super) imagenet: bool,
    /// Channels after the first layer, for a scale of factor 1.
    pub(super) channels: usize,
    /// Channels that a layer adds, for a scale of factor 1.
    pub(super) growth_rate: usize,
    /// What both are multiplied by at each scale, finest first; also the width of a bottleneck in
    /// units of what it leads to.
    pub(super) factors: &'static [usize],
    pub(super) defaults: Defaults,
    pub(super) options: MsdNetOptions,
}

/// The numbers of layers of a registered network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defaults {
    pub blocks: usize,
    pub base: usize,
    pub step: usize,
    pub growth: Growth,
}

/// One layer of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// The first layer, to so many channels.
    Stem { channels: usize },
    /// A layer that adds channels; it keeps the coarsest `scales` of the `inputs` scales.
    Dense {
        channels: usize,
        inputs: usize,
        scales: usize,
    },
    /// 1x1 convolutions of every scale, from and to so many channels.
    Transition { channels: [usize; 2], scales: usize },
}

/// No network of the field has more layers; more would be a slip of the pen.
const MOST_LAYERS: usize = 1000;

impl MsdNetConfig {
    /// With the numbers of the registered network where nothing is set.
    pub(super) fn resolved(mut self) -> Self {
        self.options = BackboneFamily::options(&self);
        self
    }

    /// Layers of each block.
    fn steps(&self) -> Vec<usize> {
        let (options, defaults) = (&self.options, &self.defaults);
        let step = options.step.unwrap_or(defaults.step);
        let growth = options.growth.unwrap_or(defaults.growth);
        let blocks = 0..options.blocks.unwrap_or(defaults.blocks);
        let steps = blocks.map(|i| match (i, growth) {
            (0, _) => options.base.unwrap_or(defaults.base),
            (_, Growth::Even) => step,
            (i, Growth::Linear) => step * i + 1,
        });
        steps.collect()
    }

    /// Scales that are left after layer `layer` of `layers`, counted from 1.
    fn scales_after(&self, layer: usize, layers: usize) -> usize {
        let all = self.factors.len();
        match self.options.prune {
            Prune::Max => all - layer.saturating_sub(1) / layers.div_ceil(all),
            Prune::Min => all.min(layers - layer + 1),
        }
    }

    /// Whether 1x1 convolutions halve the channels after a layer.
    fn is_reduced(&self, layer: usize, layers: usize) -> bool {
        match self.options.prune {
            Prune::Max => {
                let before = self.scales_after(layer - 1, layers);
                self.scales_after(layer, layers) < before
            }
            Prune::Min => layer == layers / 3 || layer == 2 * layers / 3,
        }
    }

    /// The layers of every block, and the channels after it for a scale of factor 1.
    pub(super) fn plan(&self) -> Vec<(Vec<Planned>, usize)> {
        let steps = self.steps();
        let layers: usize = steps.iter().sum();
        let mut channels = self.channels;
        let mut layer = 0;
        let mut plan = Vec::new();
        for (block, step) in steps.into_iter().enumerate() {
            let mut units = Vec::new();
            if block == 0 {
                units.push(Planned::Stem { channels });
            }
            for _ in 0..step {
                layer += 1;
                let scales = self.scales_after(layer, layers);
                units.push(Planned::Dense {
                    channels,
                    inputs: self.scales_after(layer - 1, layers),
                    scales,
                });
                channels += self.growth_rate;
                if self.is_reduced(layer, layers) {
                    let reduced = channels / 2;
                    units.push(Planned::Transition {
                        channels: [channels, reduced],
                        scales,
                    });
                    channels = reduced;
                }
            }
            plan.push((units, channels));
        }
        plan
    }
}

impl BackboneFamily for MsdNetConfig {
    type Options = MsdNetOptions;
    type Net = MsdNet;

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

    fn stages(&self) -> Vec<StageInfo> {
        let coarsest = self.factors.len() - 1;
        let first = if self.imagenet { 4 } else { 1 };
        let blocks = self.plan().into_iter().enumerate();
        let stages = blocks.map(|(i, (_, channels))| StageInfo {
            name: format!("blocks.{i}"),
            channels: channels * self.factors[coarsest],
            reduction: first << coarsest,
        });
        stages.collect()
    }

    /// A piece begins at the image, because a block needs all scales of the one before it.
    fn init_stages(&self, range: Range<usize>, init: &mut Init) -> Result<MsdNet, String> {
        let stages = BackboneFamily::stages(self);
        if let Some(before) = range.start.checked_sub(1) {
            return Err(stages[before].name.clone());
        }
        let none = MsdNet::new(stages[range.clone()].to_vec());
        let blocks = self.plan().into_iter().take(range.end).enumerate();
        Ok(blocks.fold(none, |mut net, (block, (units, _))| {
            for (place, planned) in units.iter().enumerate() {
                let unit = Unit::new(self, planned, init);
                net.push(block, format!("blocks.{block}.{place}"), unit);
            }
            net
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(name: &str, options: serde_json::Value) -> MsdNetConfig {
        let entry = super::super::ENTRIES
            .iter()
            .find(|entry| entry.name == name);
        let crate::BackboneConfig::MsdNet(config) = (entry.unwrap().config)() else {
            panic!("{name} is an MSDNet");
        };
        let options = serde_json::from_value(options).unwrap();
        config.with_options(options).unwrap()
    }

    fn scales(config: &MsdNetConfig) -> Vec<usize> {
        let plan = config.plan().into_iter().flat_map(|(units, _)| units);
        let dense = plan.filter_map(|unit| match unit {
            Planned::Dense { scales, .. } => Some(scales),
            _ => None,
        });
        dense.collect()
    }

    /// Counted from the rules of the public code: 16 layers of which every sixth gives up a scale,
    /// and halves the channels.
    #[test]
    fn the_plan_for_anytime_prediction() {
        let config = config("msdnet", json!({}));
        let expected = [vec![3; 6], vec![2; 6], vec![1; 4]].concat();
        assert_eq!(scales(&config), expected);
        let channels: Vec<usize> = config.plan().into_iter().map(|(_, c)| c).collect();
        // 16 + 4 * 6 = 40; + 12 = 52; (52 + 6) / 2 + 6 = 35; 47; 59; (59 + 6) / 2 + 6 = 38; 50.
        assert_eq!(channels, [40, 52, 35, 47, 59, 38, 50]);
    }

    /// Phuong and Lampert's network: 24 layers, 11 exits, scales kept as long as possible.
    #[test]
    fn scales_can_be_kept() {
        let options = json!({"blocks": 11, "prune": "min"});
        let config = config("msdnet", options);
        assert_eq!(scales(&config), [vec![3; 22], vec![2, 1]].concat());
        assert_eq!(config.plan().len(), 11);
    }

    #[test]
    fn linear_growth() {
        let config = config("msdnet-batch", json!({}));
        assert_eq!(config.steps(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn slips_of_the_pen_are_refused() {
        let config = config("msdnet", json!({}));
        let error = |options: serde_json::Value| {
            let options = serde_json::from_value(options).unwrap();
            config.clone().with_options(options).unwrap_err()
        };
        assert!(error(json!({"blocks": 0})).contains("blocks is 0"));
        assert!(error(json!({"step": 100_000})).contains("100000"));
        assert!(error(json!({"blocks": 900, "growth": "linear"})).contains("layers"));
        assert!(error(json!({"blocks": 1, "base": 1})).contains("1 layers"));
    }
}
