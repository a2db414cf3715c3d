//! A graph as a burn module.

mod backbone;
mod compute;
mod head;
mod program;
mod value;
mod weight;

use std::fmt::Debug;
use std::sync::Arc;

use burn::module::{
    Content, Devices, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::Device;
use offramp_graph::{Graph, Node, Op, Weight};

use crate::Init;

pub use backbone::{GraphBackbone, Stages, stages};
pub use head::{GraphHead, HeadValues};
pub use program::Piece;
pub use value::TensorValue;

use program::Program;
use weight::Tensors;

/// A graph with its weights on a device, PyTorch's `torch.fx.GraphModule`: the one reader of graphs
/// that trains and evaluates.
///
/// The weights are called as in the graph. Operations are computed by `offramp_kernels`, a batch norm
/// together with the addition and the ReLU that follow it. In training batch norms take the statistics
/// of the batch; in evaluation, after [`Module::valid`] or frozen, the running ones.
///
/// The graph is computed in pieces ([`Piece`]), each from given values to others. Sizes of maps are
/// those of the tensors, whatever the size of the image that the graph was written for.
///
/// `data` is what else belongs to the module; it has no parameters.
#[derive(Clone, Debug)]
pub struct GraphModule<D = ()> {
    graph: Arc<Graph>,
    program: Arc<Program>,
    /// In the order of the graph's weights.
    weights: Vec<Tensors>,
    /// The kind of layer that each weight belongs to.
    containers: Arc<[&'static str]>,
    training: Param<Flag>,
    pub(crate) data: D,
}

impl<D> GraphModule<D> {
    /// The whole graph in one piece, from its inputs to its outputs.
    pub fn whole(graph: Graph, data: D, init: &mut Init) -> Self {
        let values = |ports: &[offramp_graph::Port]| ports.iter().map(|port| port.value).collect();
        let piece = Piece {
            nodes: 0..graph.nodes().len(),
            inputs: values(graph.inputs()),
            outputs: values(graph.outputs()),
        };
        Self::with_pieces(graph, &[piece], data, init)
    }

    /// The graph in pieces, with weights drawn in the order of the graph, or those that it has.
    pub fn with_pieces(graph: Graph, pieces: &[Piece], data: D, init: &mut Init) -> Self {
        let weights = graph.weights().iter();
        Self {
            containers: (0..weights.len()).map(|i| container(&graph, i)).collect(),
            weights: weights.map(|weight| Tensors::new(weight, init)).collect(),
            program: Arc::new(Program::new(&graph, pieces)),
            graph: Arc::new(graph),
            training: Param::from_bool(true),
            data,
        }
    }

    /// The graph without the weights' numbers.
    pub fn structure(&self) -> &Graph {
        &self.graph
    }

    /// What belongs to the module besides.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// The graph with the numbers that the weights have now.
    pub fn trained(&self) -> Graph {
        let graph = Graph::clone(&self.graph);
        let numbers = |id: offramp_graph::WeightId, _: &Weight| self.weights[id.index()].numbers();
        let filled = graph.with_weights(numbers);
        filled.unwrap_or_else(|error| unreachable!("the weights are those of the graph: {error}"))
    }

    /// Computes a piece.
    ///
    /// # Panics
    /// When there is no such piece, or it has another number of inputs.
    pub fn run(&self, piece: usize, inputs: Vec<TensorValue>) -> Vec<TensorValue> {
        let training = self.training.is_enabled();
        self.program.run(piece, inputs, |step, operands| {
            compute::compute(&self.graph, &self.weights, training, step, operands)
        })
    }

    fn map_weights(self, change: impl FnMut((usize, Tensors)) -> Tensors) -> Self {
        Self {
            weights: self.weights.into_iter().enumerate().map(change).collect(),
            ..self
        }
    }
}

/// What visitors are told of the layer that reads a weight, as burn calls types: weights of
/// normalisations get no weight decay where a recipe says so.
fn container(graph: &Graph, weight: usize) -> &'static str {
    let reads = |node: &&Node| node.op.weights().iter().any(|id| id.index() == weight);
    match graph.nodes().iter().find(reads).map(|node| &node.op) {
        Some(Op::BatchNorm { .. }) => "Struct:BatchNorm",
        Some(Op::LayerNorm { .. }) => "Struct:LayerNorm",
        Some(Op::Conv { .. }) => "Struct:Conv2d",
        Some(Op::Linear { .. }) => "Struct:Linear",
        _ => GRAPH_MODULE,
    }
}

const GRAPH_MODULE: &str = "Struct:GraphModule";

impl<D: Clone + Send + Debug> Module for GraphModule<D> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        let weights = self.graph.weights().iter().zip(&self.weights);
        for ((weight, tensors), container) in weights.zip(self.containers.iter()) {
            visitor.enter_module(&weight.name, container);
            tensors.visit(visitor);
            visitor.exit_module(&weight.name, container);
        }
        visitor.enter_module("training", GRAPH_MODULE);
        self.training.visit(visitor);
        visitor.exit_module("training", GRAPH_MODULE);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (graph, containers) = (Arc::clone(&self.graph), Arc::clone(&self.containers));
        let mut changed = self.map_weights(|(i, tensors)| {
            let name = &graph.weights()[i].name;
            mapper.enter_module(name, containers[i]);
            let tensors = tensors.map(mapper);
            mapper.exit_module(name, containers[i]);
            tensors
        });
        mapper.enter_module("training", GRAPH_MODULE);
        changed.training = Module::map(changed.training, mapper);
        mapper.exit_module("training", GRAPH_MODULE);
        changed
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_weights(|(_, tensors)| tensors.moved(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.map_weights(|(_, tensors)| tensors.fork(device))
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        let weights = self.weights.iter();
        weights.fold(devices, |devices, tensors| tensors.collect_devices(devices))
    }

    fn materialize(self) -> Self {
        self.map_weights(|(_, tensors)| tensors.materialize())
    }

    fn valid(&self) -> Self {
        let mut changed = self.clone().map_weights(|(_, tensors)| tensors.valid());
        changed.training = self.training.valid();
        changed
    }

    fn train(self) -> Self {
        let mut changed = self.map_weights(|(_, tensors)| tensors.train());
        changed.training = changed.training.train();
        changed
    }
}

impl<D> ModuleDisplayDefault for GraphModule<D> {
    fn content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type("GraphModule")
            .add("operations", &self.graph.nodes().len())
            .add("weights", &self.graph.weights().len())
            .optional()
    }
}

impl<D> ModuleDisplay for GraphModule<D> {}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tensor;
    use offramp_core::default_device;
    use offramp_graph::{BatchNorm, Builder, Conv, GraphError};

    /// Recipes name groups of parameters by the layer that holds them.
    #[test]
    fn visitors_are_told_which_layer_reads_a_weight() -> Result<(), GraphError> {
        #[derive(Default)]
        struct Layers {
            container: String,
            found: Vec<(String, String)>,
        }

        impl ModuleVisitor for Layers {
            fn enter_module(&mut self, name: &str, container: &str) {
                self.container = container.to_owned();
                self.found.push((name.to_owned(), String::new()));
            }

            fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
                if let Some((_, container)) = self.found.last_mut() {
                    container.clone_from(&self.container);
                }
            }
        }

        let mut b = Builder::new();
        let x = b.input("x", &[3, 4, 4]);
        let y = b.conv2d("conv", x, Conv::new(2, 3).bias())?;
        let y = b.batch_norm2d("bn", y, BatchNorm::default())?;
        let y = b.global_avg_pool(y)?;
        let y = b.layer_norm1d("norm", y)?;
        let y = b.linear_layer("fc", y, 2)?;
        let mut init = Init::new(0, &default_device().expect("a device"));
        let module = GraphModule::whole(b.finish_whole([("y", y)]), (), &mut init);
        let mut layers = Layers::default();
        module.visit(&mut layers);
        for (name, container) in layers.found.iter().filter(|(name, _)| name != "training") {
            let expected = match name.split('.').next() {
                Some("bn") => "Struct:BatchNorm",
                Some("norm") => "Struct:LayerNorm",
                Some("conv") => "Struct:Conv2d",
                _ => "Struct:Linear",
            };
            assert_eq!(container, expected, "{name}");
        }
        assert_eq!(layers.found.len(), 11);
        Ok(())
    }
}
