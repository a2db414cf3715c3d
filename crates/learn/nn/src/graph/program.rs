//! The steps of a graph: which operations are computed together, and which tensors are needed no
//! longer.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use offramp_graph::{Graph, Op, Value};

use super::TensorValue;

/// A part of a graph that is computed at once.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its operations.
    pub nodes: Range<usize>,
    /// What it is computed from.
    pub inputs: Vec<Value>,
    /// What it makes, or hands on.
    pub outputs: Vec<Value>,
}

/// The steps of all pieces.
#[derive(Debug)]
pub(super) struct Program {
    pieces: Vec<Steps>,
}

#[derive(Debug)]
struct Steps {
    /// One for every value.
    slots: usize,
    inputs: Vec<usize>,
    steps: Vec<(Step, usize)>,
    outputs: Vec<Operand>,
}

/// One call of the kernels.
#[derive(Debug)]
pub(super) struct Step {
    /// The node; of a batch norm with what follows it, the batch norm.
    pub node: usize,
    /// Whether a ReLU is part of it.
    pub relu: bool,
    /// A batch norm's residual comes last.
    operands: Vec<Operand>,
}

#[derive(Clone, Copy, Debug)]
struct Operand {
    slot: usize,
    /// Whether nobody needs it afterwards.
    last: bool,
}

impl Program {
    pub(super) fn new(graph: &Graph, pieces: &[Piece]) -> Self {
        let pieces = pieces.iter().map(|piece| Steps::new(graph, piece));
        Self {
            pieces: pieces.collect(),
        }
    }

    /// Computes a piece with `compute` for every step.
    pub(super) fn run(
        &self,
        piece: usize,
        inputs: Vec<TensorValue>,
        compute: impl Fn(&Step, Vec<TensorValue>) -> TensorValue,
    ) -> Vec<TensorValue> {
        let piece = &self.pieces[piece];
        assert_eq!(inputs.len(), piece.inputs.len(), "inputs of the piece");
        let mut held: Vec<Option<TensorValue>> = vec![None; piece.slots];
        for (slot, input) in piece.inputs.iter().zip(inputs) {
            held[*slot] = Some(input);
        }
        for (step, output) in &piece.steps {
            let operands = step.operands.iter().map(|operand| operand.take(&mut held));
            held[*output] = Some(compute(step, operands.collect()));
        }
        let outputs = piece.outputs.iter();
        outputs.map(|operand| operand.take(&mut held)).collect()
    }
}

impl Operand {
    fn take(self, held: &mut [Option<TensorValue>]) -> TensorValue {
        let held = &mut held[self.slot];
        let value = if self.last { held.take() } else { held.clone() };
        value.expect("a value that was made before")
    }
}

impl Steps {
    fn new(graph: &Graph, piece: &Piece) -> Self {
        let joined = join(graph, piece);
        let mut slots: HashMap<Value, usize> = HashMap::new();
        for value in &piece.inputs {
            let next = slots.len();
            slots.entry(*value).or_insert(next);
        }
        for call in &joined {
            let next = slots.len();
            slots.insert(call.output, next);
        }
        // The place of the last reader of every value, outputs behind all steps.
        let reads = joined.iter().map(|call| call.operands.as_slice());
        let reads: Vec<&[Value]> = reads.chain([piece.outputs.as_slice()]).collect();
        let mut last_read = HashMap::new();
        for (place, values) in reads.iter().enumerate() {
            for (i, value) in values.iter().enumerate() {
                last_read.insert(*value, (place, i));
            }
        }
        let operands = |place: usize| -> Vec<Operand> {
            let values = reads[place].iter().enumerate();
            let operand = |(i, value): (usize, &Value)| Operand {
                slot: slots[value],
                last: last_read[value] == (place, i),
            };
            values.map(operand).collect()
        };
        let steps = joined.iter().enumerate().map(|(place, call)| {
            let step = Step {
                node: call.node,
                relu: call.relu,
                operands: operands(place),
            };
            (step, slots[&call.output])
        });
        Self {
            slots: slots.len(),
            inputs: piece.inputs.iter().map(|value| slots[value]).collect(),
            steps: steps.collect(),
            outputs: operands(joined.len()),
        }
    }
}

/// An operation, or a batch norm with what follows it.
struct Call {
    node: usize,
    relu: bool,
    operands: Vec<Value>,
    output: Value,
}

/// The operations of a piece in their order; `bn`, `relu(bn)`, `bn + residual` and
/// `relu(bn + residual)` are one call each, where nobody else reads what lies between.
fn join(graph: &Graph, piece: &Piece) -> Vec<Call> {
    let nodes = graph.nodes();
    let mut readers: HashMap<Value, Vec<usize>> = HashMap::new();
    for i in piece.nodes.clone() {
        for value in &nodes[i].inputs {
            readers.entry(*value).or_default().push(i);
        }
    }
    let only_reader = |value: Value| match readers.get(&value).map(Vec::as_slice) {
        Some([reader]) if !piece.outputs.contains(&value) => Some(*reader),
        _ => None,
    };
    let only_relu = |value: Value| only_reader(value).filter(|i| nodes[*i].op == Op::Relu);

    // By the last operation of each call, which is where all operands are there.
    let mut calls: BTreeMap<usize, Call> = BTreeMap::new();
    let mut part_of_another = vec![false; nodes.len()];
    for i in piece.nodes.clone() {
        if part_of_another[i] {
            continue;
        }
        let node = &nodes[i];
        let mut call = Call {
            node: i,
            relu: false,
            operands: node.inputs.clone(),
            output: node.output,
        };
        let mut parts = vec![i];
        if matches!(node.op, Op::BatchNorm { .. }) {
            let sum = only_reader(node.output).filter(|j| nodes[*j].op == Op::Add);
            if let Some(sum) = sum.filter(|j| !part_of_another[*j])
                && let [a, b] = nodes[sum].inputs[..]
                && a != b
            {
                call.operands.push(if a == node.output { b } else { a });
                call.output = nodes[sum].output;
                parts.push(sum);
            }
            if let Some(relu) = only_relu(call.output) {
                call.relu = true;
                call.output = nodes[relu].output;
                parts.push(relu);
            }
        }
        for part in &parts {
            part_of_another[*part] = true;
        }
        let last = parts.last().copied().unwrap_or(i);
        calls.insert(last, call);
    }
    calls.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_graph::{BatchNorm, Builder, Conv, GraphError};

    fn calls(graph: &Graph) -> Vec<(&str, bool, usize)> {
        let piece = Piece {
            nodes: 0..graph.nodes().len(),
            inputs: graph.inputs().iter().map(|port| port.value).collect(),
            outputs: graph.outputs().iter().map(|port| port.value).collect(),
        };
        let calls = join(graph, &piece).into_iter();
        let calls = calls.map(|call| {
            let kind = graph.nodes()[call.node].op.kind();
            (kind, call.relu, call.operands.len())
        });
        calls.collect()
    }

    #[test]
    fn a_batch_norm_takes_what_follows_it() -> Result<(), GraphError> {
        let mut b = Builder::new();
        let x = b.input("x", &[2, 4, 4]);
        let y = b.conv_bn_relu(["conv1", "bn1"], x, Conv::new(2, 3))?;
        let y = b.conv2d("conv2", y, Conv::new(2, 3))?;
        let y = b.batch_norm2d("bn2", y, BatchNorm::default())?;
        let shortcut = b.conv2d("downsample.0", x, Conv::new(2, 1))?;
        let shortcut = b.batch_norm2d("downsample.1", shortcut, BatchNorm::default())?;
        let y = b.add(y, shortcut)?;
        let y = b.relu(y)?;
        let expected = [
            ("conv", false, 1),
            ("batch_norm", true, 1),
            ("conv", false, 1),
            ("conv", false, 1),
            ("batch_norm", false, 1),
            ("batch_norm", true, 2),
        ];
        assert_eq!(calls(&b.finish_whole([("y", y)])), expected);
        Ok(())
    }

    #[test]
    fn what_others_read_is_computed_by_itself() -> Result<(), GraphError> {
        let mut b = Builder::new();
        let x = b.input("x", &[2, 4, 4]);
        let norm = b.batch_norm2d("bn", x, BatchNorm::default())?;
        let y = b.relu(norm)?;
        let alone = b.finish_whole([("y", y), ("norm", norm)]);
        let expected = [("batch_norm", false, 1), ("relu", false, 1)];
        assert_eq!(calls(&alone), expected);

        // The residual of itself.
        let mut b = Builder::new();
        let x = b.input("x", &[2, 4, 4]);
        let norm = b.batch_norm2d("bn", x, BatchNorm::default())?;
        let y = b.add(norm, norm)?;
        let expected = [("batch_norm", false, 1), ("add", false, 2)];
        assert_eq!(calls(&b.finish_whole([("y", y)])), expected);
        Ok(())
    }
}
