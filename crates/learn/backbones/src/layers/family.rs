//! Backbones that are layers from the image to the last map.

use std::fmt::Debug;
use std::ops::Range;

use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError};
use offramp_nn::Init;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Chain, Parts, run};
use crate::family::BackboneFamily;

/// A family of backbones that are layers from the image to the last map: what one must say.
pub trait LayerFamily: Clone + PartialEq + Debug {
    /// What a recipe may set.
    type Options: Serialize + DeserializeOwned;

    /// The name in the registry.
    fn name(&self) -> &str;

    /// The options.
    fn options(&self) -> Self::Options;

    /// Replaces the options.
    ///
    /// # Errors
    /// What is wrong with them, with the value.
    fn with_options(self, options: Self::Options) -> Result<Self, String>;

    /// The stages of the whole network.
    fn stages(&self) -> Vec<StageInfo>;

    /// Builds the layers of one stage.
    fn stage(&self, stage: usize, init: &mut Init) -> Chain;

    /// See [`Backbone::classifier_name`].
    fn classifier_name(&self) -> &'static str {
        "fc"
    }
}

/// Stages, one chain each; a backbone of a [`LayerFamily`] or some of its stages.
pub type Layered = Parts<Chain, Description>;

/// What a [`Layered`] backbone knows beside its layers.
#[derive(Clone, Debug)]
pub struct Description {
    stages: Vec<StageInfo>,
    classifier: &'static str,
}

impl<F: LayerFamily> BackboneFamily for F {
    type Options = F::Options;
    type Net = Layered;

    fn name(&self) -> &str {
        LayerFamily::name(self)
    }

    fn options(&self) -> Self::Options {
        LayerFamily::options(self)
    }

    fn with_options(self, options: Self::Options) -> Result<Self, String> {
        LayerFamily::with_options(self, options)
    }

    fn stages(&self) -> Vec<StageInfo> {
        LayerFamily::stages(self)
    }

    fn init_stages(&self, range: Range<usize>, init: &mut Init) -> Result<Layered, String> {
        let stages = LayerFamily::stages(self);
        let none = Layered::new(Description {
            stages: stages[range.clone()].to_vec(),
            classifier: LayerFamily::classifier_name(self),
        });
        Ok(range.fold(none, |net, stage| net.with("", self.stage(stage, init))))
    }
}

impl Backbone for Layered {
    fn stages(&self) -> Vec<StageInfo> {
        self.data.stages.clone()
    }

    fn blocks(&self, stage: usize) -> usize {
        self.as_slice()[stage].1.blocks().count()
    }

    fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features {
        let mut blocks = self.as_slice()[stage].1.blocks();
        run(blocks.nth(block).expect("the block exists"), x.map).into()
    }

    fn trace_stage(
        &self,
        stage: usize,
        b: &mut Builder,
        x: FeatureValues,
    ) -> Result<FeatureValues, GraphError> {
        Ok(self.as_slice()[stage].1.trace(b, x.map)?.into())
    }

    fn classifier_name(&self) -> &'static str {
        self.data.classifier
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        let mut map = image;
        let chains = self.as_slice().iter();
        let costs = chains.map(|(_, chain)| {
            let (cost, output) = chain.cost(map);
            map = output;
            (cost, output)
        });
        costs.collect()
    }
}
