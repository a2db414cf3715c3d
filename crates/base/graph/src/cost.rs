//! What a computation costs, for one image.

use std::collections::HashSet;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Range};

use serde::{Deserialize, Serialize};

use crate::{Graph, Op, WeightId, WeightKind};

/// Cost of a part of a network for one image.
///
/// Only convolutions and linear layers are counted as multiply-accumulates
/// (the convention of He et al., CVPR 2016, and of fvcore); batch
/// normalisation, activations and pooling are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Trainable parameters (batch-norm scale and shift included, running statistics not).
    pub params: u64,
    /// Values written by convolutions and linear layers (fvcore's "activations").
    pub activations: u64,
}

impl Cost {
    /// Cost of a convolution without bias, from its output size.
    ///
    /// `macs = C_out * H_out * W_out * (C_in / groups) * K_h * K_w`
    pub fn conv2d(
        [c_in, c_out]: [usize; 2],
        [k_h, k_w]: [usize; 2],
        groups: usize,
        [h_out, w_out]: [usize; 2],
    ) -> Self {
        let params = (c_out * (c_in / groups) * k_h * k_w) as u64;
        Self {
            macs: params * (h_out * w_out) as u64,
            params,
            activations: (c_out * h_out * w_out) as u64,
        }
    }

    /// Cost of a linear layer with bias. The bias is no multiplication.
    pub fn linear(inputs: usize, outputs: usize) -> Self {
        Self {
            macs: (inputs * outputs) as u64,
            params: (inputs * outputs + outputs) as u64,
            activations: outputs as u64,
        }
    }

    /// Cost of a layer that only holds `params` parameters, such as batch normalisation.
    pub fn params(params: usize) -> Self {
        Self {
            params: params as u64,
            ..Self::default()
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            macs: self.macs + other.macs,
            params: self.params + other.params,
            activations: self.activations + other.activations,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

impl Graph {
    /// The cost of everything.
    pub fn cost(&self) -> Cost {
        self.cost_of(0..self.nodes.len(), &mut HashSet::new())
    }

    /// The cost of some nodes. A weight counts with the first node that reads it.
    pub(crate) fn cost_of(&self, nodes: Range<usize>, counted: &mut HashSet<WeightId>) -> Cost {
        let mut sum = Cost::default();
        for node in &self.nodes[nodes] {
            let outputs = self.shape(node.output).iter().product::<usize>() as u64;
            let macs = match &node.op {
                Op::Conv { weight, .. } | Op::Linear { weight, .. } => {
                    // Each output is a sum of as many products as the weight has numbers for a channel.
                    Some(outputs * self.weight(*weight).shape[1..].iter().product::<usize>() as u64)
                }
                _ => None,
            };
            if let Some(macs) = macs {
                sum.macs += macs;
                sum.activations += outputs;
            }
            for id in node.op.weights() {
                let weight = self.weight(id);
                if weight.kind == WeightKind::Parameter && counted.insert(id) {
                    sum.params += weight.count() as u64;
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_convolution_of_resnet18() {
        // 7x7, 3 -> 64, 112x112 outputs: fvcore counts 118,013,952.
        let cost = Cost::conv2d([3, 64], [7, 7], 1, [112, 112]);
        assert_eq!(cost.macs, 118_013_952);
        assert_eq!(cost.params, 9_408);
        assert_eq!(cost.activations, 802_816);
    }

    #[test]
    fn a_graph_costs_what_its_layers_do() -> Result<(), crate::GraphError> {
        let mut b = crate::Builder::new();
        let x = b.input("x", &[4, 8, 8]);
        let y = b.conv2d("conv", x, crate::Conv::new(6, 3).groups(2).bias())?;
        let y = b.batch_norm2d("bn", y, crate::BatchNorm::default())?;
        let y = b.global_avg_pool(y)?;
        let y = b.linear_layer("fc", y, 2)?;
        let conv = Cost::conv2d([4, 6], [3, 3], 2, [8, 8]) + Cost::params(6);
        let expected = conv + Cost::params(12) + Cost::linear(6, 2);
        assert_eq!(b.finish_whole([("y", y)]).cost(), expected);
        assert_eq!(Cost::linear(3, 2).params, 8);
        Ok(())
    }

    #[test]
    fn depthwise_divides_by_groups() {
        let cost = Cost::conv2d([32, 32], [3, 3], 32, [8, 8]);
        assert_eq!(cost.macs, 32 * 9 * 64);
    }
}
