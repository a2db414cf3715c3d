//! Layers in a graph: each writes what its `forward` computes in evaluation.

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;
use offramp_graph::{Builder, ConvGeometry, GraphError, Value, WeightId};

use crate::{BatchNorm2d, Conv2d, LayerNorm, Linear};

impl Conv2d {
    /// Writes the layer into a graph; see [`forward`](Self::forward).
    ///
    /// # Errors
    /// When the map's channels are not those of the kernel, or it is too small.
    pub fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let options = self.options();
        let geometry = ConvGeometry {
            stride: options.stride,
            padding: options.padding,
            dilation: options.dilation,
            groups: options.groups,
        };
        let weight = parameter(b, &self.weight);
        let bias = self.bias.as_ref().map(|bias| parameter(b, bias));
        b.conv(x, weight, bias, geometry)
    }
}

impl Linear {
    /// Writes the layer into a graph; see [`forward`](Self::forward).
    ///
    /// # Errors
    /// When the value has another width than the layer's input.
    pub fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let weight = parameter(b, &self.weight);
        let bias = self.bias.as_ref().map(|bias| parameter(b, bias));
        b.linear(x, weight, bias)
    }
}

impl BatchNorm2d {
    /// Writes the layer into a graph, with its running statistics; see [`forward`](Self::forward).
    ///
    /// # Errors
    /// When the map has other channels.
    pub fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let (mean, variance) = (&self.running_mean, &self.running_var);
        let weights = [
            parameter(b, &self.weight),
            parameter(b, &self.bias),
            constant(b, mean.id(), mean.value()),
            constant(b, variance.id(), variance.value()),
        ];
        b.batch_norm(x, weights, self.eps())
    }

    /// See [`forward_relu`](Self::forward_relu).
    ///
    /// # Errors
    /// When the map has other channels.
    pub fn trace_relu(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.trace(b, x)?;
        b.relu(y)
    }

    /// See [`forward_add_relu`](Self::forward_add_relu).
    ///
    /// # Errors
    /// When the map has other channels, or the residual another shape.
    pub fn trace_add_relu(
        &self,
        b: &mut Builder,
        x: Value,
        residual: Value,
    ) -> Result<Value, GraphError> {
        let y = self.trace(b, x)?;
        let sum = b.add(y, residual)?;
        b.relu(sum)
    }
}

impl LayerNorm {
    /// Writes the layer into a graph; see [`forward`](Self::forward).
    ///
    /// # Errors
    /// When the value has another width.
    pub fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let weights = [parameter(b, &self.weight), parameter(b, &self.bias)];
        b.layer_norm(x, weights, self.eps())
    }
}

fn parameter<const D: usize>(b: &mut Builder, parameter: &Param<Tensor<D>>) -> WeightId {
    constant(b, parameter.id, parameter.val())
}

fn constant<const D: usize>(b: &mut Builder, id: ParamId, value: Tensor<D>) -> WeightId {
    let data = value.to_data().iter::<f32>().collect();
    b.weight(id.val(), &value.dims(), data)
}
