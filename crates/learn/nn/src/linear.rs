//! Fully connected layer.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::Tensor;
use offramp_kernels::linear;

use crate::{Init, narrow};

/// `y = x W^T + b`, PyTorch's `nn.Linear`.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Weight and bias from `U(-1/sqrt(in), 1/sqrt(in))`, PyTorch's default.
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: init.uniform([outputs, inputs], bound),
            bias: Some(init.uniform([outputs], bound)),
        }
    }

    /// Weight from `U(-1/sqrt(in), 1/sqrt(in))`, no bias.
    pub fn unbiased(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            weight: init.uniform([outputs, inputs], 1.0 / (inputs as f64).sqrt()),
            bias: None,
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - `x`: `[N, in]`, output: `[N, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = narrow::like(self.weight.val(), &x);
        let bias = (self.bias.as_ref()).map(|bias| narrow::like(bias.val(), &x));
        linear(x, weight, bias)
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.weight.dims()[1]
    }
}

impl ModuleDisplay for Linear {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [outputs, inputs] = self.weight.dims();
        content
            .add("inputs", &inputs)
            .add("outputs", &outputs)
            .add("bias", &self.bias.is_some())
            .optional()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn weight_rows_are_outputs() {
        let device = default_device().unwrap();
        let layer = Linear {
            weight: Param::from_data([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]], &device),
            bias: Some(Param::from_data([0.5, 0.0], &device)),
        };
        let y = layer.forward(Tensor::from_floats([[1.0, 1.0, 1.0]], &device));
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [6.5, 1.0]);
    }
}
