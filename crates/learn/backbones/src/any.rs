//! Any backbone.

use burn::module::Module;
use offramp_core::{Backbone, BoxedBackbone, Cost, Features, MapShape, StageInfo};
use offramp_graph::Graph;
use offramp_nn::GraphBackbone;

/// Any backbone.
#[derive(Module, Debug)]
#[non_exhaustive]
pub enum AnyBackbone {
    /// One that is a graph, as all of this crate are.
    Graph(GraphBackbone),
    /// One that is written in burn.
    Burn(BoxedBackbone),
}

impl Backbone for AnyBackbone {
    fn stages(&self) -> Vec<StageInfo> {
        match self {
            Self::Graph(net) => net.stages(),
            Self::Burn(net) => net.stages(),
        }
    }

    fn blocks(&self, stage: usize) -> usize {
        match self {
            Self::Graph(net) => net.blocks(stage),
            Self::Burn(net) => net.blocks(stage),
        }
    }

    fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features {
        match self {
            Self::Graph(net) => net.forward_block(stage, block, x),
            Self::Burn(net) => net.forward_block(stage, block, x),
        }
    }

    fn classifier_name(&self) -> &str {
        match self {
            Self::Graph(net) => net.classifier_name(),
            Self::Burn(net) => net.classifier_name(),
        }
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        match self {
            Self::Graph(net) => net.costs(image),
            Self::Burn(net) => net.costs(image),
        }
    }

    fn graph(&self) -> Option<Graph> {
        match self {
            Self::Graph(net) => Backbone::graph(net),
            Self::Burn(net) => Backbone::graph(&**net),
        }
    }
}
