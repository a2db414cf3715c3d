//! The step of each operation.

use offramp_cpu::program::{
    Activation, Element, LayerNorm, PointOp, Pointwise, Pool, Pooling, Step, Value as Slot,
};
use offramp_graph::{ConvGeometry, Node, Op, Value, Window};

use super::values::{shape3, writes_numbers_only};
use super::{Lowering, unsupported};
use crate::ExecutorError;
use crate::fuse::{self, Item};

/// For each output row and each output column the first input one that its window holds and the one after the last.
type Windows = [Vec<[usize; 2]>; 2];

impl Lowering<'_> {
    /// Makes the step of an item.
    pub(crate) fn item(&mut self, item: &Item) -> Result<(), ExecutorError> {
        let graph = self.graph;
        let node = &graph.nodes()[item.node];
        if let Op::Reshape { .. } = node.op {
            self.elements[node.output.index()] = Element::F32;
            let input = self.numbers_of(node.inputs[0]);
            return self.reshape(node, input);
        }
        let input = match node.op {
            Op::LayerNorm { .. } | Op::Linear { .. } => self.numbers_of(node.inputs[0]),
            _ => self.slot(node.inputs[0]),
        };
        if writes_numbers_only(&node.op) {
            self.elements[item.output.index()] = Element::F32;
        }
        let output = self.target(item.output);
        let activation = item.activation;
        match &node.op {
            Op::Conv {
                weight,
                bias,
                geometry,
            } => self.conv(node, item, [input, output], *weight, *bias, *geometry)?,
            Op::Linear { weight, bias } => {
                let geometry = ConvGeometry::default();
                self.conv(node, item, [input, output], *weight, *bias, geometry)?;
            }
            Op::BatchNorm {
                scale,
                shift,
                mean,
                variance,
                eps,
                ..
            } => {
                let numbers = [scale, shift, mean, variance].map(|id| self.numbers(*id));
                let op = self.affine(numbers, *eps);
                self.pointwise(input, output, op, activation);
            }
            Op::LayerNorm { scale, shift, eps } => {
                let [scale, shift] = [scale, shift]
                    .map(|id| self.numbers(*id).to_vec())
                    .map(|numbers| self.store_vector(numbers));
                self.steps.push(Step::LayerNorm(LayerNorm {
                    input,
                    output,
                    scale,
                    shift,
                    eps: *eps,
                    activation,
                }));
            }
            Op::Add => {
                let other = self.slot(node.inputs[1]);
                self.pointwise(input, output, PointOp::Add { other }, activation);
            }
            Op::Mul => self.multiply(node, output, activation),
            Op::MaxPool(_) | Op::AvgPool(_) | Op::AdaptiveAvgPool { .. } | Op::GlobalAvgPool => {
                let (pooling, [rows, columns]) = pooled(&node.op, input, output);
                self.steps.push(Step::Pool(Pool {
                    input,
                    output,
                    pooling,
                    rows,
                    columns,
                    activation,
                }));
            }
            Op::Concat | Op::Slice { .. } | Op::PadChannels { .. } | Op::Shuffle { .. } => {
                self.moved(node, output);
            }
            op => match fuse::activation(op) {
                Some(function) => self.pointwise(input, output, PointOp::Copy, function),
                None => return Err(unsupported(node, format!("no step for {}", op.kind()))),
            },
        }
        Ok(())
    }

    fn pointwise(&mut self, input: Slot, output: Slot, op: PointOp, activation: Activation) {
        self.steps.push(Step::Pointwise(Pointwise {
            input,
            output,
            op,
            activation,
        }));
    }

    fn affine(&mut self, [scale, shift, mean, variance]: [&[f32]; 4], eps: f64) -> PointOp {
        let (mut factors, mut terms) = (Vec::new(), Vec::new());
        for c in 0..scale.len() {
            let factor = f64::from(scale[c]) / (f64::from(variance[c]) + eps).sqrt();
            factors.push(factor as f32);
            terms.push((f64::from(shift[c]) - f64::from(mean[c]) * factor) as f32);
        }
        PointOp::Affine {
            scale: self.store_vector(factors),
            shift: self.store_vector(terms),
        }
    }

    /// A product; where both factors are repeated the second is written out first.
    fn multiply(&mut self, node: &Node, output: Slot, activation: Activation) {
        let shape = |value: Value| self.graph.shape(value);
        let whole = shape(node.output);
        let [mut first, mut second] = [0, 1].map(|i| self.slot(node.inputs[i]));
        if shape(node.inputs[0]) != whole && shape(node.inputs[1]) == whole {
            std::mem::swap(&mut first, &mut second);
        } else if shape(node.inputs[0]) != whole {
            first = self.repeat(node.inputs[0], node.output);
        }
        let axes = second.layout.shape.iter().zip(first.layout.shape);
        if !axes.into_iter().all(|(&o, s)| o == 1 || o == s) {
            let value = if first.layout.shape == shape3(shape(node.inputs[0])) {
                node.inputs[1]
            } else {
                node.inputs[0]
            };
            second = self.repeat(value, node.output);
        }
        self.pointwise(first, output, PointOp::Mul { other: second }, activation);
    }
}

/// What a pooling operation does with which windows.
fn pooled(op: &Op, input: Slot, output: Slot) -> (Pooling, Windows) {
    let [_, height, width] = input.layout.shape;
    let mean = Pooling::Mean { area: None };
    match op {
        Op::MaxPool(window) => (Pooling::Max, windows(input, output, *window)),
        Op::AvgPool(window) => {
            let area = Some(window.kernel[0] * window.kernel[1]);
            (Pooling::Mean { area }, windows(input, output, *window))
        }
        Op::AdaptiveAvgPool { size } => {
            let parts = |side: usize, out: usize| {
                let part = |i: usize| [i * side / out, ((i + 1) * side).div_ceil(out)];
                (0..out).map(part).collect()
            };
            (mean, [parts(height, size[0]), parts(width, size[1])])
        }
        Op::GlobalAvgPool => (mean, [vec![[0, height]], vec![[0, width]]]),
        op => unreachable!("{} is no pooling", op.kind()),
    }
}

/// The rows and columns of pooling windows that lie inside the map.
fn windows(input: Slot, output: Slot, window: Window) -> Windows {
    [0, 1].map(|axis| {
        let side = input.layout.shape[axis + 1];
        let range = |i: usize| {
            let from = i * window.stride[axis];
            let until = (from + window.kernel[axis]).saturating_sub(window.padding[axis]);
            let from = from.saturating_sub(window.padding[axis]);
            [from.min(side), until.min(side)]
        };
        (0..output.layout.shape[axis + 1]).map(range).collect()
    })
}
