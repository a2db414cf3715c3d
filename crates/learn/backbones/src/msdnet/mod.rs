//! Multi-scale dense networks (Huang et al., *Multi-Scale Dense Networks for Resource Efficient
//! Image Classification*, ICLR 2018), with the names of the public code.

mod config;
mod unit;

use burn::module::Module;
use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError};

use crate::BackboneEntry;
use crate::layers::Parts;
use config::Defaults;
use unit::Unit;

pub use config::{Growth, MsdNetConfig, MsdNetOptions, Prune};

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
            let config = MsdNetConfig {
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

fn small(name: &'static str, defaults: Defaults) -> MsdNetConfig {
    let config = MsdNetConfig {
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

/// An MSDNet without its classifiers, or its first blocks. A stage is a block; exits look at the
/// coarsest scale, and the finer ones are handed on beside it.
#[derive(Module, Debug)]
pub enum MsdNet {
    /// The one kind there is: an enum, whose name is not among those of the parameters.
    Units(Parts<Unit, Description>),
}

/// What an [`MsdNet`] knows beside its layers.
#[derive(Clone, Debug)]
pub struct Description {
    stages: Vec<StageInfo>,
    /// The block of each unit.
    blocks: Vec<usize>,
}

impl MsdNet {
    fn new(stages: Vec<StageInfo>) -> Self {
        Self::Units(Parts::new(Description {
            stages,
            blocks: Vec::new(),
        }))
    }

    fn push(&mut self, block: usize, name: String, unit: Unit) {
        let Self::Units(parts) = self;
        parts.push(name, unit);
        parts.data.blocks.push(block);
    }

    /// The layers of a block.
    fn units(&self, block: usize) -> impl Iterator<Item = &Unit> {
        let Self::Units(parts) = self;
        let units = parts.as_slice().iter().zip(&parts.data.blocks);
        let here = units.filter(move |(_, of)| **of == block);
        here.map(|((_, unit), _)| unit)
    }
}

impl Backbone for MsdNet {
    fn stages(&self) -> Vec<StageInfo> {
        let Self::Units(parts) = self;
        parts.data.stages.clone()
    }

    fn blocks(&self, stage: usize) -> usize {
        self.units(stage).count()
    }

    fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features {
        let mut maps = x.carried;
        maps.push(x.map);
        let unit = self.units(stage).nth(block).expect("the layer exists");
        let mut maps = unit.forward(maps);
        let map = maps
            .pop()
            .unwrap_or_else(|| unreachable!("a layer has a scale"));
        Features { map, carried: maps }
    }

    fn trace_stage(
        &self,
        stage: usize,
        b: &mut Builder,
        x: FeatureValues,
    ) -> Result<FeatureValues, GraphError> {
        let mut maps = x.carried;
        maps.push(x.map);
        let mut maps = self
            .units(stage)
            .try_fold(maps, |maps, unit| unit.trace(b, maps))?;
        let map = maps
            .pop()
            .unwrap_or_else(|| unreachable!("a layer has a scale"));
        Ok(FeatureValues { map, carried: maps })
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        let mut maps = vec![image];
        let blocks = 0..self.stages().len();
        let costs = blocks.map(|block| {
            let mut sum = Cost::default();
            for unit in self.units(block) {
                let (cost, made) = unit.cost(std::mem::take(&mut maps));
                sum += cost;
                maps = made;
            }
            (sum, maps[maps.len() - 1])
        });
        costs.collect()
    }
}
