//! A graph from a map to logits as an exit head.

use std::collections::HashSet;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Graph, Op, Value};

use super::weight::Tensors;
use super::{GraphModule, Piece, TensorValue};
use crate::{Init, Linear};

/// An exit head that is a graph.
pub type GraphHead = GraphModule<HeadValues>;

/// What a head makes on the way from its map to its logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadValues {
    /// The last map, whose mean over positions is the embedding.
    pub map: Value,
    /// What the last linear layer sees, a vector.
    pub embedding: Value,
    /// One number for every class.
    pub logits: Value,
}

impl GraphHead {
    /// The head that a graph describes, with fresh weights. It is computed in two pieces: up to its
    /// last map in the type of its input, and from there on in float32, as losses need it.
    pub fn new(graph: Graph, values: HeadValues, init: &mut Init) -> Self {
        let nodes = graph.nodes();
        let made = nodes.iter().position(|node| node.output == values.map);
        let cut = made.map_or(0, |i| i + 1);
        let given: HashSet<Value> = (nodes[..cut].iter().map(|node| node.output))
            .chain(graph.inputs().iter().map(|port| port.value))
            .collect();
        let results = [values.embedding, values.logits];
        let read = graph.alive(cut).into_iter();
        let mut others: Vec<Value> = read
            .chain(results.into_iter().filter(|value| given.contains(value)))
            .filter(|value| *value != values.map)
            .collect();
        others.sort();
        others.dedup();
        let between: Vec<Value> = std::iter::once(values.map).chain(others).collect();
        let pieces = [
            Piece {
                nodes: 0..cut,
                inputs: graph.inputs().iter().map(|port| port.value).collect(),
                outputs: between.clone(),
            },
            Piece {
                nodes: cut..nodes.len(),
                inputs: between,
                outputs: vec![values.embedding, values.logits],
            },
        ];
        Self::with_pieces(graph, &pieces, values, init)
    }

    /// The weights of the linear layer that makes the logits of the embedding, if it is one.
    fn classifier_weights(&self) -> Option<[Option<usize>; 2]> {
        let logits = self.data.logits;
        let mut nodes = self.structure().nodes().iter();
        let node = nodes.find(|node| node.output == logits)?;
        match node.op {
            Op::Linear { weight, bias } if node.inputs == [self.data.embedding] => {
                Some([Some(weight.index()), bias.map(|bias| bias.index())])
            }
            _ => None,
        }
    }

    /// The linear layer that the head ends with, if it does. It shares its parameters with the head.
    pub fn classifier(&self) -> Option<Linear> {
        let [weight, bias] = self.classifier_weights()?;
        let bias = bias.map(|bias| match &self.weights[bias] {
            Tensors::Vector(bias) => bias.clone(),
            other => unreachable!("a bias has one axis: {other:?}"),
        });
        Some(Linear {
            weight: self.weights[weight?].matrix().clone(),
            bias,
        })
    }

    /// The head with a given classifier, which learns no more: no gradient, so no update and no weight
    /// decay.
    ///
    /// # Shapes
    /// - `weight`: `[classes, D]`, `bias`: `[classes]`
    ///
    /// # Panics
    /// When the head does not end with a linear layer with a bias, or it has another shape.
    pub fn with_classifier(mut self, weight: Tensor<2>, bias: Tensor<1>) -> Self {
        let Some([Some(old_weight), Some(old_bias)]) = self.classifier_weights() else {
            panic!("the head ends with a linear layer with a bias")
        };
        let old = self.weights[old_weight].matrix().val();
        assert_eq!(old.dims(), weight.dims(), "a classifier of the same shape");
        let (mut weight, mut bias) = (weight.without_autodiff(), bias.without_autodiff());
        if old.is_autodiff() {
            (weight, bias) = (weight.autodiff(), bias.autodiff());
        }
        self.weights[old_weight] = Tensors::Matrix(Param::from_tensor(weight).no_grad());
        self.weights[old_bias] = Tensors::Vector(Param::from_tensor(bias).no_grad());
        self
    }
}

impl ExitHead for GraphHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        let between = self.run(0, vec![map.into()]);
        let between: Vec<TensorValue> = between.into_iter().map(TensorValue::widened).collect();
        let map = between[0].clone().into_map();
        let mut outputs = self
            .run(1, between)
            .into_iter()
            .map(TensorValue::into_vector);
        let mut next = || {
            outputs
                .next()
                .expect("a head makes an embedding and logits")
        };
        ExitOutput {
            map,
            embedding: next(),
            logits: next(),
        }
    }

    fn embedding_dim(&self) -> usize {
        self.structure().shape(self.data.embedding).iter().product()
    }

    fn cost(&self, map: MapShape) -> Cost {
        let shape = [map.channels, map.height, map.width];
        let graph = self.structure().resized(&[&shape]);
        let graph = graph.unwrap_or_else(|error| panic!("a map that does not fit: {error}"));
        graph.cost()
    }

    fn graph(&self) -> Option<Graph> {
        Some(self.trained())
    }
}
