//! Batch norms into the layers before them.

use crate::{Graph, Initial, Op, Value, Weight, WeightId, WeightKind};

/// Puts every batch norm that alone reads the output of a convolution or linear layer into that
/// layer:
///
/// ```text
/// W' = W * scale / sqrt(variance + eps)          (each output channel)
/// b' = (b - mean) * scale / sqrt(variance + eps) + shift
/// ```
///
/// computed in `f64`. A batch norm behind anything else, a ReLU or a joined map, stays. The function
/// computed is the same up to rounding; names of layers stay, the new bias is `LAYER.bias`.
pub fn fold_batch_norms(mut graph: Graph) -> Graph {
    let uses = graph.uses();
    let mut makers = vec![None; graph.shapes.len()];
    let mut folded = Vec::new();
    for place in 0..graph.nodes.len() {
        let node = &graph.nodes[place];
        let (input, output) = (node.inputs[0], node.output);
        let layer = makers[input.0].filter(|_| uses[input.0] == 1);
        makers[output.0] = Some(place);
        if let (Op::BatchNorm { .. }, Some(layer)) = (&node.op, layer)
            && fold_into(&mut graph, layer, place)
        {
            graph.nodes[layer].output = output;
            makers[output.0] = Some(layer);
            folded.push(output);
        }
    }
    let is_folded =
        |output: Value, op: &Op| matches!(op, Op::BatchNorm { .. }) && folded.contains(&output);
    (graph.nodes).retain(|node| !is_folded(node.output, &node.op));
    graph.pruned()
}

/// Whether the node `layer` is one that takes a batch norm; it then has the new weights.
fn fold_into(graph: &mut Graph, layer: usize, norm: usize) -> bool {
    let (Op::Conv { weight, bias, .. } | Op::Linear { weight, bias }) = graph.nodes[layer].op
    else {
        return false;
    };
    let Op::BatchNorm {
        scale,
        shift,
        mean,
        variance,
        eps,
        ..
    } = graph.nodes[norm].op
    else {
        return false;
    };
    let numbers = |id: WeightId| graph.weight(id).data.iter().map(|&v| f64::from(v));
    let factors: Vec<f64> = (numbers(scale).zip(numbers(variance)))
        .map(|(scale, variance)| scale / (variance + eps).sqrt())
        .collect();
    let old = match bias {
        Some(bias) => numbers(bias).collect(),
        None => vec![0.0; factors.len()],
    };
    let shifts = old.iter().zip(numbers(mean)).zip(numbers(shift));
    let new_bias = (shifts.zip(&factors))
        .map(|(((bias, mean), shift), factor)| ((bias - mean) * factor + shift) as f32)
        .collect();
    let per_channel = graph.weight(weight).data.len() / factors.len().max(1);
    let new_weight = numbers(weight)
        .enumerate()
        .map(|(i, value)| (value * factors[i / per_channel]) as f32)
        .collect();

    let name = graph.nodes[layer].name.clone();
    let shape = graph.weight(weight).shape.clone();
    let new_bias = replace(
        graph,
        bias,
        format!("{name}.bias"),
        vec![factors.len()],
        new_bias,
    );
    let new_weight = replace(
        graph,
        Some(weight),
        format!("{name}.weight"),
        shape,
        new_weight,
    );
    if let Op::Conv { weight, bias, .. } | Op::Linear { weight, bias } = &mut graph.nodes[layer].op
    {
        (*weight, *bias) = (new_weight, Some(new_bias));
    }
    true
}

/// Adds a weight. One that takes the place of `old` takes its name too; where another layer still
/// reads the old one, that keeps its numbers and gets a name of its own.
fn replace(
    graph: &mut Graph,
    old: Option<WeightId>,
    name: String,
    shape: Vec<usize>,
    data: Vec<f32>,
) -> WeightId {
    if let Some(old) = old.map(|old| &mut graph.weights[old.0])
        && old.name == name
    {
        old.name.push_str(".unfolded");
    }
    graph.weights.push(Weight {
        name,
        shape,
        kind: WeightKind::Parameter,
        initial: Initial::Constant(0.0),
        data: data.into(),
    });
    WeightId(graph.weights.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, ConvGeometry, reference};

    /// Four statistics of two channels.
    fn statistics(b: &mut Builder) -> [WeightId; 4] {
        [
            b.weight("bn.weight", &[2], vec![2.0, -1.0]),
            b.weight(11, &[2], vec![0.5, 0.25]),
            b.weight(12, &[2], vec![1.0, -3.0]),
            b.weight(13, &[2], vec![3.0, 0.21]),
        ]
    }

    #[test]
    fn the_formula_by_hand() {
        // sqrt(3 + 1) = 2 and sqrt(0.21 + 1) = 1.1: factors 1 and -1/1.1.
        let mut b = Builder::new();
        let x = b.input("x", &[1, 1, 1]);
        let weight = b.weight("conv.weight", &[2, 1, 1, 1], vec![4.0, 1.1]);
        let bias = b.weight("conv.bias", &[2], vec![1.0, 0.3]);
        let y = b
            .conv(x, weight, Some(bias), ConvGeometry::default())
            .unwrap();
        let statistics = statistics(&mut b);
        let y = b.batch_norm(y, statistics, 1.0).unwrap();
        let graph = fold_batch_norms(b.finish([("y", y)]));
        let weights: Vec<(&str, &[f32])> = (graph.weights().iter())
            .map(|weight| (weight.name.as_str(), &*weight.data))
            .collect();
        let near = |found: &[f32], expected: [f32; 2]| {
            found
                .iter()
                .zip(expected)
                .all(|(f, e)| (f - e).abs() < 1e-6)
        };
        assert_eq!(weights.len(), 2);
        assert_eq!((weights[0].0, weights[1].0), ("conv.weight", "conv.bias"));
        assert!(near(weights[0].1, [4.0, -1.0]), "{weights:?}");
        assert!(near(weights[1].1, [0.5, -3.3 / 1.1 + 0.25]), "{weights:?}");
    }

    /// A map that is read twice, an output and a ReLU's: none of them can be folded.
    #[test]
    fn what_others_read_stays() {
        let mut b = Builder::new();
        let x = b.input("x", &[1, 1, 1]);
        let weight = b.weight("conv.weight", &[2, 1, 1, 1], vec![4.0, 1.0]);
        let map = b.conv(x, weight, None, ConvGeometry::default()).unwrap();
        let statistics = statistics(&mut b);
        let first = b.batch_norm(map, statistics, 1.0).unwrap();
        let sum = b.add(first, map).unwrap();
        let relu = b.relu(sum).unwrap();
        let second = b.batch_norm(relu, statistics, 1.0).unwrap();
        let graph = b.finish([("y", second)]);
        let count = graph.nodes().len();
        assert_eq!(fold_batch_norms(graph).nodes().len(), count);
    }

    /// One kernel in two convolutions, folded with one of them.
    #[test]
    fn a_shared_kernel_keeps_its_numbers_for_the_other() {
        let mut b = Builder::new();
        let x = b.input("x", &[1, 1, 1]);
        let weight = b.weight("conv.weight", &[2, 1, 1, 1], vec![4.0, 1.0]);
        let geometry = ConvGeometry::default();
        let plain = b.conv(x, weight, None, geometry).unwrap();
        let other = b.conv(x, weight, None, geometry).unwrap();
        let statistics = statistics(&mut b);
        let other = b.batch_norm(other, statistics, 1.0).unwrap();
        let y = b.add(plain, other).unwrap();
        let graph = b.finish([("y", y)]);
        let input = [vec![2.0]];
        let before = reference::run(&graph, 1, &input).unwrap();
        let folded = fold_batch_norms(graph);
        assert_eq!(folded.nodes().len(), 3);
        let after = reference::run(&folded, 1, &input).unwrap();
        for (a, b) in after[0].iter().zip(&before[0]) {
            assert!((a - b).abs() < 1e-6, "{after:?} {before:?}");
        }
        let mut names: Vec<&str> = folded.weights().iter().map(|w| w.name.as_str()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3);
    }
}
