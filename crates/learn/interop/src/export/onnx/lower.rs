//! Operations of a graph as nodes of ONNX.

use offramp_graph::{ConvGeometry, Graph, Node, Op, Value, WeightId, Window};

use super::Opset;
use super::parts::{float, floats, int, ints, means, numbers, transposed};
use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::export::ExportError;

/// Nodes and constants of a graph.
pub(super) struct Lowered {
    pub nodes: Vec<NodeProto>,
    pub constants: Vec<TensorProto>,
}

/// Writes every operation in the order of the graph.
pub(super) fn lower(graph: &Graph, opset: Opset) -> Result<Lowered, ExportError> {
    let mut writer = Writer {
        graph,
        opset,
        names: names(graph),
        nodes: Vec::new(),
        constants: Vec::new(),
    };
    for weight in graph.weights() {
        let tensor = floats(&weight.name, &weight.shape, &weight.data);
        writer.constants.push(tensor);
    }
    for node in graph.nodes() {
        writer.node(node)?;
    }
    writer.copies();
    Ok(Lowered {
        nodes: writer.nodes,
        constants: writer.constants,
    })
}

/// The name of every value: that of its input, else of its first output, else of the node that computes
/// it.
fn names(graph: &Graph) -> Vec<String> {
    let mut names = vec![String::new(); graph.num_values()];
    for node in graph.nodes() {
        names[node.output.index()].clone_from(&node.name);
    }
    for port in graph.outputs().iter().rev().chain(graph.inputs()) {
        names[port.value.index()].clone_from(&port.name);
    }
    names
}

struct Writer<'a> {
    graph: &'a Graph,
    opset: Opset,
    names: Vec<String>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node) -> Result<(), ExportError> {
        let steps = self.steps(node)?;
        let output = self.names[node.output.index()].clone();
        let count = steps.len();
        let mut before = String::new();
        for (i, step) in steps.into_iter().enumerate() {
            let (name, made) = if i + 1 == count {
                (node.name.clone(), output.clone())
            } else {
                (format!("{}/{i}", node.name), format!("{}/{i}", node.name))
            };
            let input = match i {
                0 => node.inputs.iter().map(|x| self.name(*x)).collect(),
                _ => vec![before],
            };
            let (first, second) = if step.constants_first {
                (step.constants, input)
            } else {
                (input, step.constants)
            };
            self.nodes.push(NodeProto {
                input: [first, second].concat(),
                output: vec![made.clone()],
                name,
                op_type: step.op_type.to_owned(),
                attribute: step.attributes,
            });
            before = made;
        }
        Ok(())
    }

    /// An operation as a chain of ONNX's operators.
    fn steps(&mut self, node: &Node) -> Result<Vec<Step>, ExportError> {
        let shape = |value: Value| self.graph.shape(value);
        Ok(match &node.op {
            Op::Conv {
                weight,
                bias,
                geometry,
            } => {
                let kernel = self.graph.weight(*weight).shape[2..].to_vec();
                let constants = self.weights([Some(*weight), *bias]);
                vec![conv(geometry, &kernel).with(constants)]
            }
            Op::Linear { weight, bias } => {
                let constants = self.weights([Some(*weight), *bias]);
                vec![step("Gemm", [int("transB", 1)]).with(constants)]
            }
            Op::BatchNorm {
                scale,
                shift,
                mean,
                variance,
                eps,
                ..
            } => {
                let constants = self.weights([scale, shift, mean, variance].map(|id| Some(*id)));
                vec![step("BatchNormalization", [float("epsilon", *eps as f32)]).with(constants)]
            }
            Op::LayerNorm { scale, shift, eps } => {
                self.since(17, node)?;
                let constants = self.weights([scale, shift].map(|id| Some(*id)));
                vec![step("LayerNormalization", [float("epsilon", *eps as f32)]).with(constants)]
            }
            Op::Relu => vec![step("Relu", [])],
            Op::Clamp { low, high } => {
                let bounds = [("min", low), ("max", high)];
                let bounds = bounds.map(|(name, bound)| self.scalar(node, name, *bound));
                vec![step("Clip", []).with(bounds)]
            }
            Op::Sigmoid => vec![step("Sigmoid", [])],
            Op::HardSigmoid => vec![hard_sigmoid()],
            Op::HardSwish => self.hard_swish(node),
            Op::Scale { factor } => {
                let factor = self.scalar(node, "factor", *factor);
                vec![step("Mul", []).with([factor])]
            }
            Op::Add => vec![step("Add", [])],
            Op::Mul => vec![step("Mul", [])],
            Op::MaxPool(window) => vec![pool("MaxPool", window, [])],
            Op::AvgPool(window) => {
                vec![pool("AveragePool", window, [int("count_include_pad", 1)])]
            }
            Op::AdaptiveAvgPool { size } => {
                let [h, w] = [shape(node.inputs[0])[1], shape(node.inputs[0])[2]];
                let rows = means(size[0], h);
                let columns = transposed(&means(size[1], w), w);
                let rows = self.constant(node, "rows", &[size[0], h], &rows);
                let columns = self.constant(node, "columns", &[w, size[1]], &columns);
                let mut left = step("MatMul", []).with([rows]);
                left.constants_first = true;
                vec![left, step("MatMul", []).with([columns])]
            }
            Op::GlobalAvgPool => vec![
                step("GlobalAveragePool", []),
                step("Flatten", [int("axis", 1)]),
            ],
            Op::Concat => vec![step("Concat", [int("axis", 1)])],
            Op::Slice {
                axis,
                start,
                end,
                step: distance,
            } => {
                // The batch is axis 0 there.
                let parts = [
                    ("start", *start),
                    ("end", *end),
                    ("axis", axis + 1),
                    ("step", *distance),
                ];
                let parts = parts.map(|(name, value)| self.integers(node, name, &[value as i64]));
                vec![step("Slice", []).with(parts)]
            }
            Op::PadChannels { before, after } => {
                let pads = [0, *before as i64, 0, 0, 0, *after as i64, 0, 0];
                let pads = self.integers(node, "pads", &pads);
                vec![step("Pad", []).with([pads])]
            }
            Op::Shuffle { groups } => {
                let &[c, h, w] = shape(node.output) else {
                    return Ok(Vec::new());
                };
                let apart = self.shape(node, "apart", &[*groups, c / groups, h, w]);
                let joined = self.shape(node, "joined", &[c, h, w]);
                vec![
                    step("Reshape", []).with([apart]),
                    step("Transpose", [ints("perm", &[0, 2, 1, 3, 4])]),
                    step("Reshape", []).with([joined]),
                ]
            }
            Op::Reshape { shape } => {
                let shape = self.shape(node, "shape", shape);
                vec![step("Reshape", []).with([shape])]
            }
        })
    }

    /// Refuses an operator that the operator set does not have.
    fn since(&self, opset: i64, node: &Node) -> Result<(), ExportError> {
        if self.opset.version() >= opset {
            Ok(())
        } else {
            Err(ExportError::NeedsOpset {
                node: node.name.clone(),
                kind: node.op.kind(),
                opset,
            })
        }
    }

    /// An operator of its own since opset 14.
    fn hard_swish(&mut self, node: &Node) -> Vec<Step> {
        if self.opset.version() >= 14 {
            return vec![step("HardSwish", [])];
        }
        let mut product = step("Mul", []);
        product.constants = vec![self.name(node.inputs[0])];
        vec![hard_sigmoid(), product]
    }

    /// A value that is an output under a second name, or an input that is an output, is copied.
    fn copies(&mut self) {
        for port in self.graph.outputs() {
            let name = self.name(port.value);
            if name != port.name {
                self.nodes.push(NodeProto {
                    input: vec![name],
                    output: vec![port.name.clone()],
                    name: format!("copy/{}", port.name),
                    op_type: "Identity".to_owned(),
                    attribute: Vec::new(),
                });
            }
        }
    }

    fn name(&self, value: Value) -> String {
        self.names[value.index()].clone()
    }

    fn weights<const N: usize>(&self, ids: [Option<WeightId>; N]) -> Vec<String> {
        let name = |id| self.graph.weight(id).name.clone();
        ids.into_iter().flatten().map(name).collect()
    }

    fn scalar(&mut self, node: &Node, name: &str, value: f32) -> String {
        self.constant(node, name, &[], &[value])
    }

    fn constant(&mut self, node: &Node, name: &str, shape: &[usize], values: &[f32]) -> String {
        let name = format!("{}/{name}", node.name);
        self.constants.push(floats(&name, shape, values));
        name
    }

    /// The shape of a sample for `Reshape`, where 0 keeps the size of the batch.
    fn shape(&mut self, node: &Node, name: &str, shape: &[usize]) -> String {
        let sides = shape.iter().map(|side| *side as i64);
        let shape: Vec<i64> = [0].into_iter().chain(sides).collect();
        self.integers(node, name, &shape)
    }

    fn integers(&mut self, node: &Node, name: &str, values: &[i64]) -> String {
        let name = format!("{}/{name}", node.name);
        self.constants.push(numbers(&name, values));
        name
    }
}

/// One operator: its constants follow the value that it works on, or stand before it.
struct Step {
    op_type: &'static str,
    attributes: Vec<AttributeProto>,
    constants: Vec<String>,
    constants_first: bool,
}

impl Step {
    fn with(mut self, constants: impl Into<Vec<String>>) -> Self {
        self.constants = constants.into();
        self
    }
}

fn step<const N: usize>(op_type: &'static str, attributes: [AttributeProto; N]) -> Step {
    Step {
        op_type,
        attributes: attributes.into(),
        constants: Vec::new(),
        constants_first: false,
    }
}

fn hard_sigmoid() -> Step {
    step(
        "HardSigmoid",
        [float("alpha", 1.0 / 6.0), float("beta", 0.5)],
    )
}

fn conv(geometry: &ConvGeometry, kernel: &[usize]) -> Step {
    step(
        "Conv",
        [
            ints("kernel_shape", kernel),
            ints("strides", &geometry.stride),
            ints("pads", &both_sides(geometry.padding)),
            ints("dilations", &geometry.dilation),
            int("group", geometry.groups as i64),
        ],
    )
}

fn pool<const N: usize>(op_type: &'static str, window: &Window, more: [AttributeProto; N]) -> Step {
    let mut pool = step(
        op_type,
        [
            ints("kernel_shape", &window.kernel),
            ints("strides", &window.stride),
            ints("pads", &both_sides(window.padding)),
        ],
    );
    pool.attributes.extend(more);
    pool
}

/// ONNX wants the starts of all axes, then the ends.
fn both_sides([height, width]: [usize; 2]) -> [usize; 4] {
    [height, width, height, width]
}
