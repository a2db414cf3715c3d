//! What a computation costs, for one image.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

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
    fn depthwise_divides_by_groups() {
        let cost = Cost::conv2d([32, 32], [3, 3], 32, [8, 8]);
        assert_eq!(cost.macs, 32 * 9 * 64);
    }
}
