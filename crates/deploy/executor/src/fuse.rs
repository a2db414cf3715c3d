//! Which nodes of a graph become one step.

use offramp_cpu::program::Activation;
use offramp_graph::{Graph, Op, Value};

/// A node with what is fused behind it: `output = activation(node + residual)`.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The node's place in the graph.
    pub node: usize,
    /// Added to a convolution or linear layer.
    pub residual: Option<Value>,
    /// Applied last.
    pub activation: Activation,
    /// What is there afterwards.
    pub output: Value,
}

/// The activation that an operation is, if it is one.
pub(crate) fn activation(op: &Op) -> Option<Activation> {
    Some(match *op {
        Op::Relu => Activation::Relu,
        Op::Clamp { low, high } => Activation::Clamp { low, high },
        Op::Sigmoid => Activation::Sigmoid,
        Op::HardSigmoid => Activation::HardSigmoid,
        Op::HardSwish => Activation::HardSwish,
        Op::Scale { factor } => Activation::Scale { factor },
        _ => return None,
    })
}

fn takes_residual(op: &Op) -> bool {
    matches!(op, Op::Conv { .. } | Op::Linear { .. })
}

fn takes_activation(op: &Op) -> bool {
    match op {
        Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Shuffle { .. }
        | Op::Reshape { .. } => false,
        // Two activations in a row are two steps.
        _ => activation(op).is_none(),
    }
}

/// The items of a graph, each at the place of the last node that it contains, so that all it reads is
/// there.
pub(crate) fn items(graph: &Graph) -> Vec<Item> {
    let nodes = graph.nodes();
    let mut makers = vec![None; graph.num_values()];
    let mut readers = vec![Vec::new(); graph.num_values()];
    for (i, node) in nodes.iter().enumerate() {
        makers[node.output.index()] = Some(i);
        for value in &node.inputs {
            readers[value.index()].push(i);
        }
    }
    let mut is_port = vec![false; graph.num_values()];
    for port in graph.outputs() {
        is_port[port.value.index()] = true;
    }
    // The only node that reads a value, if nothing else needs it.
    let reader = |value: Value| match readers[value.index()].as_slice() {
        [one] if !is_port[value.index()] => Some(*one),
        _ => None,
    };
    let mut absorbed = vec![false; nodes.len()];
    let mut items: Vec<(usize, Item)> = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        if absorbed[i] {
            continue;
        }
        let mut item = Item {
            node: i,
            residual: None,
            activation: Activation::None,
            output: node.output,
        };
        let mut last = i;
        if takes_residual(&node.op)
            && let Some(sum) = reader(item.output)
            && nodes[sum].op == Op::Add
        {
            let other = if nodes[sum].inputs[0] == item.output {
                nodes[sum].inputs[1]
            } else {
                nodes[sum].inputs[0]
            };
            // Where both terms could take the other one, the later does: its memory is needed later.
            let later = makers[other.index()].is_some_and(|maker| {
                maker > i && takes_residual(&nodes[maker].op) && reader(other).is_some()
            });
            if !later {
                item.residual = Some(other);
                item.output = nodes[sum].output;
                absorbed[sum] = true;
                last = sum;
            }
        }
        if takes_activation(&node.op)
            && let Some(next) = reader(item.output)
            && let Some(function) = activation(&nodes[next].op)
        {
            item.activation = function;
            item.output = nodes[next].output;
            absorbed[next] = true;
            last = next;
        }
        items.push((last, item));
    }
    items.sort_by_key(|(last, _)| *last);
    items.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use offramp_graph::{Builder, ConvGeometry};

    use super::*;

    /// Two convolutions, a shortcut with one of its own, ReLUs: a residual block.
    #[test]
    fn a_residual_block_is_three_steps() {
        let mut b = Builder::new();
        let x = b.input("x", &[2, 4, 4]);
        let weight = b.weight(1, &[2, 2, 1, 1], vec![1.0; 4]);
        let conv = |b: &mut Builder, x| b.conv(x, weight, None, ConvGeometry::default()).unwrap();
        let short = conv(&mut b, x);
        let y = conv(&mut b, x);
        let y = b.relu(y).unwrap();
        let y = conv(&mut b, y);
        let y = b.add(y, short).unwrap();
        let y = b.relu(y).unwrap();
        let items = items(&b.finish([("y", y)]));
        let found: Vec<_> = (items.iter())
            .map(|item| (item.node, item.residual.is_some(), item.activation))
            .collect();
        let (none, relu) = (Activation::None, Activation::Relu);
        assert_eq!(found, [(0, false, none), (1, false, relu), (3, true, relu)]);
    }

    /// A sum that is an output as well cannot vanish in the ReLU's step.
    #[test]
    fn what_others_need_is_kept() {
        let mut b = Builder::new();
        let x = b.input("x", &[2, 4, 4]);
        let weight = b.weight(1, &[2, 2, 1, 1], vec![1.0; 4]);
        let y = b.conv(x, weight, None, ConvGeometry::default()).unwrap();
        let sum = b.add(y, x).unwrap();
        let y = b.relu(sum).unwrap();
        let items = items(&b.finish([("sum", sum), ("y", y)]));
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].activation, Activation::None);
    }
}
