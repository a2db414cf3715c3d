//! Writing a graph, operation by operation.

use std::collections::{HashMap, HashSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::{
    ConvGeometry, Graph, GraphError, Initial, Node, Op, Port, Value, Weight, WeightId, WeightKind,
    Window, shape,
};

/// A graph that is being written.
///
/// Every method that adds an operation returns its output, or [`GraphError::Shape`] when the
/// operands do not fit.
///
/// # Panics
/// Values and weights of another builder may make any method panic.
#[derive(Debug, Default)]
pub struct Builder {
    pub(crate) graph: Graph,
    /// The weights that have been added, by the name that they were given.
    added: HashMap<String, WeightId>,
    taken: HashSet<String>,
    /// What names begin with here, each with its dot.
    scope: String,
    /// Whether sizes that follow from the image are written as numbers.
    concrete: bool,
}

/// What is written: a value, or an operation that does not fit its operands.
pub type Written = Result<Value, GraphError>;

impl Builder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty graph for images of one size: operations that depend on the size of the image are
    /// written with numbers. Exporters and executors read such graphs.
    pub fn concrete() -> Self {
        Self {
            concrete: true,
            ..Self::default()
        }
    }

    /// Writes a module: what `write` calls `conv.weight` is called `NAME.conv.weight`. An empty name
    /// adds nothing.
    pub fn scope<T>(&mut self, name: impl ToString, write: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.scope.len();
        let name = name.to_string();
        if !name.is_empty() {
            self.scope.push_str(&name);
            self.scope.push('.');
        }
        let written = write(self);
        self.scope.truncate(outer);
        written
    }

    /// An input with the shape of one sample.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Value {
        self.taken.insert(name.to_owned());
        let value = self.value(shape.to_vec());
        self.graph.inputs.push(Port {
            name: name.to_owned(),
            value,
        });
        value
    }

    /// A weight with its numbers, the last axis fastest. The same name with the same numbers is the
    /// same weight; with others it is another weight, whose name gets a number.
    ///
    /// # Panics
    /// When there are more or fewer numbers than the shape says.
    pub fn weight(&mut self, name: impl ToString, shape: &[usize], data: Vec<f32>) -> WeightId {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "numbers for {shape:?}"
        );
        let weight = Weight {
            name: self.name(name),
            shape: shape.to_vec(),
            kind: WeightKind::Parameter,
            initial: Initial::Constant(0.0),
            data: data.into(),
        };
        self.add_weight(weight)
    }

    /// A weight that is trained, without numbers yet. The same name is the same weight.
    pub fn parameter(
        &mut self,
        name: impl ToString,
        shape: &[usize],
        initial: Initial,
    ) -> WeightId {
        self.declare(name, shape, initial, WeightKind::Parameter)
    }

    /// A weight that follows the batches, without numbers yet.
    pub fn statistic(
        &mut self,
        name: impl ToString,
        shape: &[usize],
        initial: Initial,
    ) -> WeightId {
        self.declare(name, shape, initial, WeightKind::Statistic)
    }

    fn declare(
        &mut self,
        name: impl ToString,
        shape: &[usize],
        initial: Initial,
        kind: WeightKind,
    ) -> WeightId {
        let weight = Weight {
            name: self.name(name),
            shape: shape.to_vec(),
            kind,
            initial,
            data: Arc::new([]),
        };
        self.add_weight(weight)
    }

    /// Writes a layer, whose weights are its own: a name that is taken is an error.
    pub(crate) fn layer(
        &mut self,
        name: impl ToString,
        write: impl FnOnce(&mut Self) -> Written,
    ) -> Written {
        self.scope(name, |b| {
            if b.added.contains_key(&format!("{}weight", b.scope)) {
                return Err(GraphError::Shape {
                    node: b.scope.trim_end_matches('.').to_owned(),
                    reason: "there is a layer of that name already; write it within a scope"
                        .to_owned(),
                });
            }
            write(b)
        })
    }

    fn name(&self, name: impl ToString) -> String {
        format!("{}{}", self.scope, name.to_string())
    }

    /// A weight under the name that it has.
    pub(crate) fn add_weight(&mut self, weight: Weight) -> WeightId {
        if let Some(&id) = self.added.get(&weight.name) {
            let known = self.graph.weight(id);
            let same = known.shape == weight.shape && known.data == weight.data;
            if same && known.kind == weight.kind && known.initial == weight.initial {
                return id;
            }
        }
        let id = WeightId(self.graph.weights.len());
        self.added.insert(weight.name.clone(), id);
        let name = self.unique(weight.name);
        self.graph.weights.push(Weight { name, ..weight });
        id
    }

    /// The shape of a value, of one sample.
    pub fn shape(&self, x: Value) -> &[usize] {
        self.graph.shape(x)
    }

    /// See [`Op::Conv`].
    pub fn conv(
        &mut self,
        x: Value,
        weight: WeightId,
        bias: Option<WeightId>,
        geometry: ConvGeometry,
    ) -> Written {
        let op = Op::Conv {
            weight,
            bias,
            geometry,
        };
        self.add_op(op, vec![x])
    }

    /// See [`Op::Linear`].
    pub fn linear(&mut self, x: Value, weight: WeightId, bias: Option<WeightId>) -> Written {
        self.add_op(Op::Linear { weight, bias }, vec![x])
    }

    /// See [`Op::BatchNorm`]; the weights are scale, shift, mean and variance, the momentum is
    /// PyTorch's 0.1.
    pub fn batch_norm(&mut self, x: Value, weights: [WeightId; 4], eps: f64) -> Written {
        let [scale, shift, mean, variance] = weights;
        let op = Op::BatchNorm {
            scale,
            shift,
            mean,
            variance,
            eps,
            momentum: 0.1,
        };
        self.add_op(op, vec![x])
    }

    /// See [`Op::LayerNorm`]; the weights are scale and shift.
    pub fn layer_norm(&mut self, x: Value, [scale, shift]: [WeightId; 2], eps: f64) -> Written {
        self.add_op(Op::LayerNorm { scale, shift, eps }, vec![x])
    }

    /// See [`Op::Relu`].
    pub fn relu(&mut self, x: Value) -> Written {
        self.add_op(Op::Relu, vec![x])
    }

    /// See [`Op::Clamp`]; ReLU6 is `clamp(x, 0.0, 6.0)`.
    pub fn clamp(&mut self, x: Value, low: f32, high: f32) -> Written {
        self.add_op(Op::Clamp { low, high }, vec![x])
    }

    /// See [`Op::Sigmoid`].
    pub fn sigmoid(&mut self, x: Value) -> Written {
        self.add_op(Op::Sigmoid, vec![x])
    }

    /// See [`Op::HardSigmoid`].
    pub fn hard_sigmoid(&mut self, x: Value) -> Written {
        self.add_op(Op::HardSigmoid, vec![x])
    }

    /// See [`Op::HardSwish`].
    pub fn hard_swish(&mut self, x: Value) -> Written {
        self.add_op(Op::HardSwish, vec![x])
    }

    /// See [`Op::Scale`].
    pub fn scale(&mut self, x: Value, factor: f32) -> Written {
        self.add_op(Op::Scale { factor }, vec![x])
    }

    /// See [`Op::Add`].
    pub fn add(&mut self, a: Value, b: Value) -> Written {
        self.add_op(Op::Add, vec![a, b])
    }

    /// See [`Op::Mul`].
    pub fn mul(&mut self, a: Value, b: Value) -> Written {
        self.add_op(Op::Mul, vec![a, b])
    }

    /// See [`Op::MaxPool`].
    pub fn max_pool(&mut self, x: Value, window: Window) -> Written {
        self.add_op(Op::MaxPool(window), vec![x])
    }

    /// See [`Op::AvgPool`].
    pub fn avg_pool(&mut self, x: Value, window: Window) -> Written {
        self.add_op(Op::AvgPool(window), vec![x])
    }

    /// Average pooling of a map down to `size` = `[height, width]`; a side that is not longer than that
    /// here stays as it is. In a [concrete](Self::concrete) graph a plain window where it divides the
    /// map; else [`Op::AdaptiveAvgPool`].
    pub fn shrink(&mut self, x: Value, size: [usize; 2]) -> Written {
        let &[_, h, w] = self.shape(x) else {
            return self.add_op(Op::AdaptiveAvgPool { size }, vec![x]);
        };
        let [height, width] = [size[0].min(h), size[1].min(w)];
        if [height, width] == [h, w] {
            return Ok(x);
        }
        let divides = self.concrete
            && height > 0
            && h.is_multiple_of(height)
            && width > 0
            && w.is_multiple_of(width);
        let op = if divides {
            Op::AvgPool(Window {
                kernel: [h / height, w / width],
                stride: [h / height, w / width],
                padding: [0, 0],
            })
        } else {
            Op::AdaptiveAvgPool {
                size: [height, width],
            }
        };
        self.add_op(op, vec![x])
    }

    /// See [`Op::AdaptiveAvgPool`]; written for any size of the image, where [`shrink`](Self::shrink)
    /// decides by the size at hand.
    pub fn adaptive_avg_pool(&mut self, x: Value, size: [usize; 2]) -> Written {
        if self.concrete {
            return self.shrink(x, size);
        }
        self.add_op(Op::AdaptiveAvgPool { size }, vec![x])
    }

    /// See [`Op::GlobalAvgPool`].
    pub fn global_avg_pool(&mut self, x: Value) -> Written {
        self.add_op(Op::GlobalAvgPool, vec![x])
    }

    /// See [`Op::Concat`]; a single value is returned as it is.
    pub fn concat(&mut self, values: &[Value]) -> Written {
        match values {
            [one] => Ok(*one),
            many => self.add_op(Op::Concat, many.to_vec()),
        }
    }

    /// See [`Op::Slice`]; `axis` 0 are the channels. A range without an end goes to the end of the
    /// axis, whatever the size of the image.
    pub fn slice(
        &mut self,
        x: Value,
        axis: usize,
        range: impl RangeBounds<usize>,
        step: usize,
    ) -> Written {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => usize::MAX,
        };
        let end = match self.shape(x).get(axis) {
            Some(size) if self.concrete && end == usize::MAX => *size,
            _ => end,
        };
        let op = Op::Slice {
            axis,
            start,
            end,
            step,
        };
        self.add_op(op, vec![x])
    }

    /// See [`Op::PadChannels`].
    pub fn pad_channels(&mut self, x: Value, before: usize, after: usize) -> Written {
        self.add_op(Op::PadChannels { before, after }, vec![x])
    }

    /// See [`Op::Shuffle`].
    pub fn shuffle(&mut self, x: Value, groups: usize) -> Written {
        self.add_op(Op::Shuffle { groups }, vec![x])
    }

    /// See [`Op::Reshape`].
    pub fn reshape(&mut self, x: Value, shape: &[usize]) -> Written {
        let shape = shape.to_vec();
        self.add_op(Op::Reshape { shape }, vec![x])
    }

    /// The graph with these outputs; what they do not depend on is left out.
    pub fn finish<'a>(self, outputs: impl IntoIterator<Item = (&'a str, Value)>) -> Graph {
        self.finish_whole(outputs).pruned()
    }

    /// The graph with these outputs and everything that was written, marks of stages and blocks
    /// among it.
    pub fn finish_whole<'a>(
        mut self,
        outputs: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Graph {
        let ports = outputs.into_iter().map(|(name, value)| Port {
            name: name.to_owned(),
            value,
        });
        self.graph.outputs = ports.collect();
        self.graph
    }

    /// Any operation. In a [concrete](Self::concrete) graph, one that depends on the size of the image
    /// is written with numbers.
    pub(crate) fn apply(&mut self, op: Op, inputs: Vec<Value>) -> Written {
        match op {
            Op::AdaptiveAvgPool { size } => self.adaptive_avg_pool(inputs[0], size),
            Op::Slice {
                axis,
                start,
                end: usize::MAX,
                step,
            } => self.slice(inputs[0], axis, start.., step),
            op => self.add_op(op, inputs),
        }
    }

    pub(crate) fn add_op(&mut self, op: Op, inputs: Vec<Value>) -> Written {
        let name = self.node_name(&op);
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| self.shape(*x)).collect();
        let shape = shape::output(&op, &shapes, &self.graph.weights);
        let shape = shape.map_err(|reason| GraphError::Shape {
            node: name.clone(),
            reason,
        })?;
        let name = self.unique(name);
        let output = self.value(shape);
        self.graph.nodes.push(Node {
            name,
            op,
            inputs,
            output,
        });
        Ok(output)
    }

    /// The layer's name, which is that of its weight without the last part; else the kind.
    fn node_name(&self, op: &Op) -> String {
        let weight = op.weights().first().map(|id| &self.graph.weight(*id).name);
        match weight.and_then(|name| name.rsplit_once('.')) {
            Some((layer, _)) => layer.to_owned(),
            None => format!("{}_{}", op.kind(), self.graph.nodes.len()),
        }
    }

    fn value(&mut self, shape: Vec<usize>) -> Value {
        self.graph.shapes.push(shape);
        Value(self.graph.shapes.len() - 1)
    }

    fn unique(&mut self, name: String) -> String {
        let mut candidate = name.clone();
        let mut count = 1;
        while !self.taken.insert(candidate.clone()) {
            count += 1;
            candidate = format!("{name}_{count}");
        }
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_stay_unique() {
        let mut b = Builder::new();
        let x = b.input("x", &[1]);
        let w = b.weight("fc.weight", &[1, 1], vec![2.0]);
        assert_eq!(
            b.weight("fc.weight", &[1, 1], vec![2.0]),
            w,
            "the same parameter"
        );
        let other = b.weight("fc.weight", &[1, 1], vec![3.0]);
        let y = b.linear(x, w, None).unwrap();
        let y = b.linear(y, w, None).unwrap();
        let y = b.linear(y, other, None).unwrap();
        let graph = b.finish([("y", y)]);
        let nodes: Vec<&str> = graph
            .nodes()
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        assert_eq!(nodes, ["fc", "fc_2", "fc_3"]);
        let weights: Vec<&str> = graph.weights().iter().map(|w| w.name.as_str()).collect();
        assert_eq!(weights, ["fc.weight", "fc.weight_2"]);
    }

    #[test]
    fn what_no_output_needs_is_left_out() {
        let mut b = Builder::new();
        let x = b.input("x", &[1]);
        let w = b.weight("fc.weight", &[1, 1], vec![2.0]);
        b.linear(x, w, None).unwrap();
        let y = b.relu(x).unwrap();
        let graph = b.finish([("y", y)]);
        assert_eq!(graph.nodes().len(), 1);
        assert!(graph.weights().is_empty());
    }

    #[test]
    fn an_error_names_the_layer() {
        let mut b = Builder::new();
        let x = b.input("x", &[5]);
        let w = b.weight("fc.weight", &[1, 1], vec![2.0]);
        let error = b.linear(x, w, None).unwrap_err().to_string();
        assert_eq!(error, "fc: the input is [5], not [1]");
    }

    #[test]
    fn shrinking_takes_the_plain_window_where_it_fits() {
        let mut b = Builder::concrete();
        let x = b.input("x", &[2, 8, 6]);
        assert_eq!(b.shrink(x, [9, 6]).unwrap(), x);
        let even = b.shrink(x, [4, 2]).unwrap();
        let odd = b.shrink(x, [3, 6]).unwrap();
        assert_eq!(b.shape(even), [2, 4, 2]);
        assert_eq!(b.shape(odd), [2, 3, 6]);
        let graph = b.finish([("a", even), ("b", odd)]);
        let kinds: Vec<&str> = graph.nodes().iter().map(|node| node.op.kind()).collect();
        assert_eq!(kinds, ["avg_pool", "adaptive_avg_pool"]);
    }
}
