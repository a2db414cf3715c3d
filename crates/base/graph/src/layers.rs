//! Operations together with their weights: what PyTorch calls modules, under PyTorch's names and
//! with PyTorch's initial values.

use crate::build::Written;
use crate::{Builder, ConvGeometry, Initial, Op, Value};

/// A convolution of maps, PyTorch's `nn.Conv2d`. The input's channels are those of the map.
///
/// Weights start from Kaiming's normal distribution by fan-out, `std^2 = 2 / (C_out K_h K_w)` (He et
/// al., ICCV 2015; PyTorch's `kaiming_normal_(mode="fan_out")`), the bias from 0.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    channels: usize,
    kernel: [usize; 2],
    geometry: ConvGeometry,
    bias: bool,
}

impl Conv {
    /// To `channels` channels by a square kernel; stride 1, padding `kernel / 2`, no bias.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self {
            channels,
            kernel: [kernel; 2],
            geometry: ConvGeometry {
                padding: [kernel / 2; 2],
                ..ConvGeometry::default()
            },
            bias: false,
        }
    }

    /// Every channel by itself, `kernel x kernel`.
    pub fn depthwise(channels: usize, kernel: usize) -> Self {
        Self::new(channels, kernel).groups(channels)
    }

    /// Sets the stride of both axes.
    pub fn stride(mut self, stride: usize) -> Self {
        self.geometry.stride = [stride; 2];
        self
    }

    /// Sets the padding of both axes.
    pub fn padding(mut self, padding: usize) -> Self {
        self.geometry.padding = [padding; 2];
        self
    }

    /// Sets the number of groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.geometry.groups = groups;
        self
    }

    /// Adds a bias.
    pub fn bias(mut self) -> Self {
        self.bias = true;
        self
    }
}

/// A batch norm of maps or vectors, PyTorch's `nn.BatchNorm2d`.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    eps: f64,
    momentum: f64,
    scale: f64,
}

impl Default for BatchNorm {
    /// eps 1e-5, momentum 0.1, a scale that starts at 1.
    fn default() -> Self {
        Self {
            eps: 1e-5,
            momentum: 0.1,
            scale: 1.0,
        }
    }
}

impl BatchNorm {
    /// Sets what is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets the share of the batch in the running statistics.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Lets the scale start at 0: the branch that it ends starts as the identity (Goyal et al., 2017).
    pub fn zeroed(mut self) -> Self {
        self.scale = 0.0;
        self
    }
}

const ZERO: Initial = Initial::Constant(0.0);
const ONE: Initial = Initial::Constant(1.0);

impl Builder {
    /// A convolution with weights `NAME.weight` and, where it has one, `NAME.bias`.
    ///
    /// # Errors
    /// When the map's channels cannot be divided by the groups, the map is too small, or there is a
    /// layer of that name.
    pub fn conv2d(&mut self, name: impl ToString, x: Value, conv: Conv) -> Written {
        let [k_h, k_w] = conv.kernel;
        let (out, groups) = (conv.channels, conv.geometry.groups.max(1));
        let channels = self.shape(x).first().copied().unwrap_or_default();
        // Channels that do not fit are found with the shapes.
        let shape = [out, channels.div_ceil(groups), k_h, k_w];
        let std = (2.0 / (out * k_h * k_w) as f64).sqrt();
        self.layer(name, |b| {
            let weight = b.parameter("weight", &shape, Initial::Normal { std });
            let bias = (conv.bias).then(|| b.parameter("bias", &[out], ZERO));
            b.conv(x, weight, bias, conv.geometry)
        })
    }

    /// A batch norm with weights `NAME.weight`, `NAME.bias`, `NAME.running_mean` and
    /// `NAME.running_var`.
    ///
    /// # Errors
    /// When the value has no channels.
    pub fn batch_norm2d(&mut self, name: impl ToString, x: Value, norm: BatchNorm) -> Written {
        let shape = [self.shape(x).first().copied().unwrap_or_default()];
        self.layer(name, |b| {
            let op = Op::BatchNorm {
                scale: b.parameter("weight", &shape, Initial::Constant(norm.scale)),
                shift: b.parameter("bias", &shape, ZERO),
                mean: b.statistic("running_mean", &shape, ZERO),
                variance: b.statistic("running_var", &shape, ONE),
                eps: norm.eps,
                momentum: norm.momentum,
            };
            b.add_op(op, vec![x])
        })
    }

    /// A layer norm of a vector, PyTorch's `nn.LayerNorm` over the last axis, with weights
    /// `NAME.weight` and `NAME.bias` and an eps of 1e-5.
    ///
    /// # Errors
    /// When the value is no vector.
    pub fn layer_norm1d(&mut self, name: impl ToString, x: Value) -> Written {
        let shape = self.shape(x).to_vec();
        self.layer(name, |b| {
            let weights = [
                b.parameter("weight", &shape, ONE),
                b.parameter("bias", &shape, ZERO),
            ];
            b.layer_norm(x, weights, 1e-5)
        })
    }

    /// A linear layer of a vector, PyTorch's `nn.Linear`, with weights `NAME.weight` and `NAME.bias`
    /// from `U(-1/sqrt(in), 1/sqrt(in))`.
    ///
    /// # Errors
    /// When the value is no vector.
    pub fn linear_layer(&mut self, name: impl ToString, x: Value, outputs: usize) -> Written {
        let initial = uniform(self.width(x));
        self.layer(name, |b| {
            let shape = [outputs, b.width(x)];
            let weight = b.parameter("weight", &shape, initial);
            let bias = b.parameter("bias", &[outputs], initial);
            b.linear(x, weight, Some(bias))
        })
    }

    /// A linear layer without a bias, whose weight starts from `U(-1/sqrt(fan), 1/sqrt(fan))`.
    ///
    /// # Errors
    /// When the value is no vector.
    pub fn linear_unbiased(
        &mut self,
        name: impl ToString,
        x: Value,
        outputs: usize,
        fan: usize,
    ) -> Written {
        self.layer(name, |b| {
            let shape = [outputs, b.width(x)];
            let weight = b.parameter("weight", &shape, uniform(fan));
            b.linear(x, weight, None)
        })
    }

    /// `relu(bn(conv(x)))`, the two layers under the given names.
    ///
    /// # Errors
    /// As [`conv2d`](Self::conv2d).
    pub fn conv_bn_relu(
        &mut self,
        [conv_name, bn_name]: [&str; 2],
        x: Value,
        conv: Conv,
    ) -> Written {
        let x = self.conv2d(conv_name, x, conv)?;
        let x = self.batch_norm2d(bn_name, x, BatchNorm::default())?;
        self.relu(x)
    }

    fn width(&self, x: Value) -> usize {
        self.shape(x).first().copied().unwrap_or_default()
    }
}

fn uniform(fan: usize) -> Initial {
    Initial::Uniform {
        bound: 1.0 / (fan.max(1) as f64).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphError, WeightKind};

    #[test]
    fn names_shapes_and_initial_values_are_pytorchs() -> Result<(), GraphError> {
        let mut b = Builder::new();
        let x = b.input("x", &[4, 6, 6]);
        let y = b.scope("layer1.0", |b| {
            let y = b.conv2d("conv1", x, Conv::new(8, 3).stride(2).groups(2).bias())?;
            b.batch_norm2d("bn1", y, BatchNorm::default().zeroed())
        })?;
        let y = b.global_avg_pool(y)?;
        let y = b.linear_layer("fc", y, 3)?;
        let graph = b.finish_whole([("y", y)]);
        let weights: Vec<_> = (graph.weights().iter())
            .map(|weight| (weight.name.as_str(), weight.shape.as_slice(), weight.kind))
            .collect();
        let (parameter, statistic) = (WeightKind::Parameter, WeightKind::Statistic);
        let expected: [(&str, &[usize], WeightKind); 8] = [
            ("layer1.0.conv1.weight", &[8, 2, 3, 3], parameter),
            ("layer1.0.conv1.bias", &[8], parameter),
            ("layer1.0.bn1.weight", &[8], parameter),
            ("layer1.0.bn1.bias", &[8], parameter),
            ("layer1.0.bn1.running_mean", &[8], statistic),
            ("layer1.0.bn1.running_var", &[8], statistic),
            ("fc.weight", &[3, 8], parameter),
            ("fc.bias", &[3], parameter),
        ];
        assert_eq!(weights, expected);
        let std = (2.0_f64 / 72.0).sqrt();
        assert_eq!(graph.weights()[0].initial, Initial::Normal { std });
        assert_eq!(graph.weights()[2].initial, Initial::Constant(0.0));
        assert_eq!(graph.nodes()[1].name, "layer1.0.bn1");
        Ok(())
    }

    #[test]
    fn two_layers_of_one_name_are_an_error() -> Result<(), GraphError> {
        let mut b = Builder::new();
        let x = b.input("x", &[4, 6, 6]);
        let y = b.scope("block", |b| b.conv2d("conv", x, Conv::new(4, 3)))?;
        b.scope("other", |b| b.conv2d("conv", y, Conv::new(4, 3)))?;
        let again = b.scope("block", |b| b.conv2d("conv", y, Conv::new(4, 3)));
        let error = again.unwrap_err().to_string();
        assert!(error.contains("block.conv: there is a layer"), "{error}");
        Ok(())
    }

    #[test]
    fn channels_that_do_not_fit_are_an_error() {
        let mut b = Builder::new();
        let x = b.input("x", &[5, 4, 4]);
        let error = b.conv2d("conv", x, Conv::new(4, 3).groups(2)).unwrap_err();
        assert!(error.to_string().contains("2 groups"), "{error}");
    }
}
