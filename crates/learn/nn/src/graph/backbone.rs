//! A graph with stages as a backbone.

use offramp_core::{Backbone, Cost, Features, MapShape, StageInfo};
use offramp_graph::{Graph, Value};

use super::{GraphModule, Piece, TensorValue};
use crate::Init;

/// A backbone that is a graph.
pub type GraphBackbone = GraphModule<Stages>;

/// Which pieces of the graph the blocks of every stage are.
#[derive(Clone, Debug)]
pub struct Stages {
    stages: Vec<StageInfo>,
    /// The first piece of every stage, and the number of all.
    first: Vec<usize>,
    classifier: String,
}

impl GraphBackbone {
    /// The backbone that a graph describes, with fresh weights. Its first input is the image, or the
    /// map that it goes on from. `stages` is what is known of its stages, `classifier` what PyTorch's
    /// twin calls its classifier.
    ///
    /// # Panics
    /// When the graph has another number of stages.
    pub fn new(graph: Graph, stages: Vec<StageInfo>, classifier: &str, init: &mut Init) -> Self {
        assert_eq!(
            graph.stages().len(),
            stages.len(),
            "what is known of every stage"
        );
        let mut first = vec![0];
        let mut pieces = Vec::new();
        let mut inputs: Vec<Value> = graph.inputs().iter().map(|port| port.value).collect();
        for stage in 0..graph.stages().len() {
            let blocks = graph.stage_blocks(stage);
            let count = blocks.len();
            for (i, nodes) in blocks.into_iter().enumerate() {
                let outputs = if i + 1 == count {
                    graph.handed_on(stage)
                } else {
                    between_blocks(&graph, nodes.end)
                };
                pieces.push(Piece {
                    nodes,
                    inputs: inputs.clone(),
                    outputs: outputs.clone(),
                });
                inputs = outputs;
            }
            first.push(pieces.len());
        }
        let data = Stages {
            stages,
            first,
            classifier: classifier.to_owned(),
        };
        Self::with_pieces(graph, &pieces, data, init)
    }
}

/// The newest value first: it is the map, or the coarsest of several.
fn between_blocks(graph: &Graph, at: usize) -> Vec<Value> {
    let mut alive = graph.alive(at);
    alive.rotate_right(1);
    alive
}

/// What a graph from the image says of its stages.
pub fn stages(graph: &Graph) -> Vec<StageInfo> {
    let image = graph
        .inputs()
        .first()
        .map_or(1, |port| graph.map_shape(port.value).height);
    let stage = |stage: &offramp_graph::Stage| {
        let map = graph.map_shape(stage.output);
        StageInfo {
            name: stage.name.clone(),
            channels: map.channels,
            reduction: (image + map.height / 2) / map.height.max(1),
        }
    };
    graph.stages().iter().map(stage).collect()
}

impl Backbone for GraphBackbone {
    fn stages(&self) -> Vec<StageInfo> {
        self.data.stages.clone()
    }

    fn blocks(&self, stage: usize) -> usize {
        self.data.first[stage + 1] - self.data.first[stage]
    }

    fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features {
        assert!(
            block < self.blocks(stage),
            "stage {stage} has no block {block}"
        );
        let inputs = std::iter::once(x.map)
            .chain(x.carried)
            .map(TensorValue::Map);
        let outputs = self.run(self.data.first[stage] + block, inputs.collect());
        let mut outputs = outputs.into_iter().map(TensorValue::into_map);
        Features {
            map: outputs.next().expect("a block hands on a map"),
            carried: outputs.collect(),
        }
    }

    fn classifier_name(&self) -> &str {
        &self.data.classifier
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        let shape = [image.channels, image.height, image.width];
        let graph = self.structure().resized(&[&shape]);
        let graph = graph.unwrap_or_else(|error| panic!("an image that does not fit: {error}"));
        graph.stage_costs()
    }

    fn graph(&self) -> Option<Graph> {
        Some(self.trained())
    }
}
