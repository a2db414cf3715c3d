//! The graph: operations, weights, shapes.

use std::sync::Arc;

use thiserror::Error;

use crate::{Op, Stage};

/// A value of a graph: an input or the output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(crate) usize);

impl Value {
    /// Its number within the graph, from 0.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A weight of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightId(pub(crate) usize);

impl WeightId {
    /// Its number within the graph, from 0.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What training does with a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightKind {
    /// Follows its gradient.
    Parameter,
    /// Follows the batches, such as a running mean.
    Statistic,
}

/// The values that a weight starts training with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// All equal.
    Constant(f64),
    /// From `N(0, std^2)`.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// From `U(-bound, bound)`.
    Uniform {
        /// Largest absolute value.
        bound: f64,
    },
}

/// A named tensor that operations read.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Its name; no two weights of a graph have the same.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What training does with it.
    pub kind: WeightKind,
    /// Its values before training.
    pub initial: Initial,
    /// Its numbers, the last axis fastest; none in a graph that describes a network whose weights
    /// are elsewhere ([`Graph::with_weights`] fills them in). Graphs of parts of one network share
    /// them.
    pub data: Arc<[f32]>,
}

impl Weight {
    /// Number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One operation with what goes in and comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name; no two nodes of a graph have the same.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<Value>,
    /// What it makes.
    pub output: Value,
}

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// Operations in the order of computation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) weights: Vec<Weight>,
    pub(crate) shapes: Vec<Vec<usize>>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) stages: Vec<Stage>,
    /// The nodes before which a block begins, rising.
    pub(crate) blocks: Vec<usize>,
}

/// An operation that does not fit its operands, or inputs that do not fit a graph.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The shapes of an operation's operands contradict each other.
    #[error("{node}: {reason}")]
    Shape {
        /// The node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The numbers given for an input are too few or too many.
    #[error("input {input:?} got {found} numbers, {expected} are needed")]
    Input {
        /// The input.
        input: String,
        /// How many it needs.
        expected: usize,
        /// How many it got.
        found: usize,
    },
    /// A part of a network that is written in burn and not as a graph.
    #[error(
        "{part} is written in burn and not as a graph: such a network trains and runs, and cannot be \
         exported or compiled"
    )]
    NoGraph {
        /// The part.
        part: String,
    },
    /// A weight has no numbers, or the wrong number of them.
    #[error("weight {weight:?} has {found} numbers, {expected} are needed")]
    Weight {
        /// The weight.
        weight: String,
        /// How many it needs.
        expected: usize,
        /// How many it has.
        found: usize,
    },
}

impl Graph {
    /// The nodes; every one comes after those whose outputs it reads.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The weights.
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// One weight.
    pub fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.0]
    }

    /// What the graph is computed from.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What it computes.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The shape of a value, of one sample.
    pub fn shape(&self, value: Value) -> &[usize] {
        &self.shapes[value.0]
    }

    /// Number of values.
    pub fn num_values(&self) -> usize {
        self.shapes.len()
    }

    /// Multiply-accumulates of its convolutions and linear layers, for one sample.
    pub fn macs(&self) -> u64 {
        self.cost().macs
    }

    /// The graph with numbers for every weight, which `numbers` finds by the weight.
    ///
    /// # Errors
    /// [`GraphError::Weight`] when they are too few or too many.
    pub fn with_weights(
        mut self,
        mut numbers: impl FnMut(WeightId, &Weight) -> Arc<[f32]>,
    ) -> Result<Self, GraphError> {
        for (i, weight) in self.weights.iter_mut().enumerate() {
            let data = numbers(WeightId(i), weight);
            if data.len() != weight.count() {
                return Err(GraphError::Weight {
                    weight: weight.name.clone(),
                    expected: weight.count(),
                    found: data.len(),
                });
            }
            weight.data = data;
        }
        Ok(self)
    }

    /// How often each value is read, by nodes or as an output.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.shapes.len()];
        let read = self.nodes.iter().flat_map(|node| node.inputs.iter());
        for value in read.chain(self.outputs.iter().map(|port| &port.value)) {
            uses[value.0] += 1;
        }
        uses
    }

    /// The graph without nodes that no output depends on, without weights that no node reads, and
    /// without marks of stages and blocks.
    pub(crate) fn pruned(mut self) -> Self {
        self.stages.clear();
        self.blocks.clear();
        let mut needed = vec![false; self.shapes.len()];
        for port in &self.outputs {
            needed[port.value.0] = true;
        }
        for node in self.nodes.iter().rev() {
            if needed[node.output.0] {
                node.inputs.iter().for_each(|value| needed[value.0] = true);
            }
        }
        self.nodes.retain(|node| needed[node.output.0]);

        let mut places = vec![None; self.weights.len()];
        let old = std::mem::take(&mut self.weights);
        for id in self.nodes.iter_mut().flat_map(|node| node.op.weights_mut()) {
            let place = places[id.0].get_or_insert_with(|| {
                self.weights.push(old[id.0].clone());
                WeightId(self.weights.len() - 1)
            });
            *id = *place;
        }
        self
    }
}
