//! The plan of an MSDNet's layers.

use super::{Growth, MsdNet, Prune};

/// One layer of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// The first layer, to `channels` channels.
    Stem { channels: usize },
    /// A layer that adds channels; it keeps the coarsest `scales` of the `inputs` scales.
    Dense {
        channels: usize,
        inputs: usize,
        scales: usize,
    },
    /// 1x1 convolutions of every scale, with `channels` inputs and outputs.
    Transition { channels: [usize; 2], scales: usize },
}

impl MsdNet {
    /// Layers of each block.
    pub(super) fn steps(&self) -> Vec<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackboneFamily;
    use serde_json::json;

    fn config(name: &str, options: serde_json::Value) -> MsdNet {
        let mut entries = super::super::ENTRIES.iter();
        let entry = entries.find(|entry| entry.name == name).unwrap();
        let config = (entry.config)();
        let config = config.family::<MsdNet>().expect("an MSDNet").clone();
        let options = serde_json::from_value(options).unwrap();
        config.with_options(options).unwrap()
    }

    fn scales(config: &MsdNet) -> Vec<usize> {
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
