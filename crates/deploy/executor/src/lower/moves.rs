//! Numbers that go from one place to another.

use offramp_cpu::program::{
    Activation, Copy, Layout, PointOp, Pointwise, Run, Step, Value as Slot,
};
use offramp_graph::{Node, Op, Value};

use super::values::shape3;
use super::{LANES, Lowering};
use crate::ExecutorError;
use crate::runs::runs;

impl Lowering<'_> {
    /// The same numbers in another layout.
    pub(super) fn convert(&mut self, input: Slot, output: Slot) {
        if input.layout.lanes == LANES && output.layout.lanes == LANES {
            self.steps.push(Step::Pointwise(Pointwise {
                input,
                output,
                op: PointOp::Copy,
                activation: Activation::None,
            }));
            return;
        }
        let count = input.layout.shape.iter().product();
        let all = runs(&input.layout, &output.layout, count, Some);
        self.copy(vec![(input, all)], output, false);
    }

    pub(super) fn copy(&mut self, sources: Vec<(Slot, Vec<Run>)>, output: Slot, clear: bool) {
        self.steps.push(Step::Copy(Copy {
            sources,
            output,
            clear,
        }));
    }

    /// A value whose axes of size 1 are repeated to the shape of another.
    pub(super) fn repeat(&mut self, value: Value, like: Value) -> Slot {
        let (from, to) = (self.graph.shape(value), self.graph.shape(like));
        let source = |index: usize| {
            let mut rest = index;
            let (mut at, mut step) = (0, 1);
            for (axis, &size) in to.iter().enumerate().rev() {
                at += rest % size % from[axis] * step;
                step *= from[axis];
                rest /= size;
            }
            Some(at)
        };
        let input = self.numbers_of(value);
        let output = self.fresh(Layout::blocked(shape3(to), 0));
        let count = to.iter().product();
        let runs = runs(&input.layout, &output.layout, count, source);
        self.copy(vec![(input, runs)], output, false);
        output
    }

    /// The same memory where the order of numbers in it stays, else a copy.
    pub(super) fn reshape(&mut self, node: &Node, input: Slot) -> Result<(), ExecutorError> {
        let layout = self.layout(node.output);
        if layout == input.layout {
            self.slots[node.output.index()] = Some(input);
            return Ok(());
        }
        let output = self.target(node.output);
        let count = layout.shape.iter().product();
        let runs = runs(&input.layout, &layout, count, Some);
        self.copy(vec![(input, runs)], output, false);
        Ok(())
    }

    /// Operations that move numbers.
    pub(super) fn moved(&mut self, node: &Node, output: Slot) {
        let to = &output.layout;
        let shape = self.graph.shape(node.inputs[0]).to_vec();
        let count = self.graph.shape(node.output).iter().product();
        let inner: usize = shape.get(1..).unwrap_or_default().iter().product();
        let mut sources = Vec::new();
        let mut first = 0;
        for &value in &node.inputs {
            let input = self.numbers_of(value);
            let size: usize = self.graph.shape(value).iter().product();
            let found = runs(&input.layout, to, count, |i| match node.op {
                Op::Slice {
                    axis, start, step, ..
                } => {
                    let sizes = self.graph.shape(node.output);
                    let below: usize = sizes[axis + 1..].iter().product();
                    let (outer, at) = (i / below / sizes[axis], i / below % sizes[axis]);
                    Some((outer * shape[axis] + start + at * step) * below + i % below)
                }
                Op::Shuffle { groups } => {
                    let out = i / inner;
                    let channel = out % groups * (shape[0] / groups) + out / groups;
                    Some(channel * inner + i % inner)
                }
                Op::PadChannels { before, .. } => {
                    i.checked_sub(before * inner).filter(|&at| at < size)
                }
                _ => i.checked_sub(first).filter(|&at| at < size),
            });
            sources.push((input, found));
            first += size;
        }
        let clear = matches!(node.op, Op::PadChannels { .. });
        self.copy(sources, output, clear);
    }
}
