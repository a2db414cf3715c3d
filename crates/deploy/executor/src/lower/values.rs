//! The element type and layout of each value of a graph.

use offramp_cpu::program::Element;
use offramp_graph::{Graph, Node, Op};

use super::LANES;
use crate::calibrate::Calibration;

/// A shape as that of a map with the same order of numbers; a vector `[D]` is `[D, 1, 1]`.
pub(super) fn shape3(shape: &[usize]) -> [usize; 3] {
    match *shape {
        [] => [1, 1, 1],
        [d] => [d, 1, 1],
        [c, h] => [c, h, 1],
        [c, h, ref rest @ ..] => [c, h, rest.iter().product()],
    }
}

/// Whether a node may compute with bytes: an ungrouped convolution of more channels than an image has.
pub(super) fn may_be_quantized(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Conv { geometry, .. } => {
            geometry.groups == 1 && graph.shape(node.inputs[0])[0] >= LANES
        }
        _ => false,
    }
}

/// Whether an operation's step moves or makes `f32` alone.
pub(crate) fn writes_numbers_only(op: &Op) -> bool {
    matches!(
        op,
        Op::Concat
            | Op::Slice { .. }
            | Op::PadChannels { .. }
            | Op::Shuffle { .. }
            | Op::Reshape { .. }
            | Op::LayerNorm { .. }
    )
}

/// What each value is stored as: in bytes where a convolution of bytes reads it.
pub(crate) fn elements(graph: &Graph, calibration: &Calibration) -> Vec<Element> {
    let mut elements = vec![Element::F32; graph.num_values()];
    for node in graph.nodes() {
        if may_be_quantized(graph, node)
            && let Some(element) = calibration.element(node.inputs[0])
        {
            elements[node.inputs[0].index()] = element;
        }
    }
    elements
}

/// For each value the border that its readers need, so that no window leaves it.
pub(crate) fn borders(graph: &Graph) -> Vec<usize> {
    let mut borders = vec![0; graph.num_values()];
    for node in graph.nodes() {
        if let Op::Conv {
            weight, geometry, ..
        } = &node.op
        {
            let kernel = &graph.weight(*weight).shape[2..];
            let (input, output) = (graph.shape(node.inputs[0]), graph.shape(node.output));
            for axis in 0..2 {
                let padding = geometry.padding[axis];
                let last = (output[axis + 1] - 1) * geometry.stride[axis]
                    + (kernel[axis] - 1) * geometry.dilation[axis];
                let beyond = (last + 1).saturating_sub(input[axis + 1] + padding);
                let border = &mut borders[node.inputs[0].index()];
                *border = (*border).max(padding).max(beyond);
            }
        }
    }
    borders
}
