//! Layer normalisation of vectors.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::Tensor;
use offramp_core::Cost;

use crate::{Init, narrow};

/// Every row brought to mean 0 and variance 1, PyTorch's `nn.LayerNorm` over the last axis (Ba,
/// Kiros and Hinton, 2016): `y = weight * (x - mean) / sqrt(var + eps) + bias`, with the biased
/// variance of the row.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct LayerNorm {
    /// Scale, `[D]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[D]`.
    pub bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    /// Scale 1, shift 0, eps 1e-5.
    pub fn new(width: usize, init: &Init) -> Self {
        Self {
            weight: init.full([width], 1.0),
            bias: init.full([width], 0.0),
            eps: 1e-5,
        }
    }

    /// Normalises.
    ///
    /// # Shapes
    /// - `x` and output: `[N, D]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        narrow::around(x, |x| {
            let centred = x.clone() - x.mean_dim(1);
            let variance = centred.clone().square().mean_dim(1);
            let normal = centred / (variance + self.eps).sqrt();
            normal * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
        })
    }

    /// What is added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Parameters; no multiply-accumulates are counted.
    pub fn cost(&self) -> Cost {
        Cost::params(2 * self.weight.dims()[0])
    }
}

impl ModuleDisplay for LayerNorm {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [width] = self.weight.dims();
        content
            .add("width", &width)
            .add("eps", &self.eps)
            .optional()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    /// `torch.nn.functional.layer_norm(torch.tensor([[1., 2., 6.]]), (3,))`: mean 3, variance 14/3.
    #[test]
    fn the_variance_of_a_row_is_the_biased_one() {
        let device = default_device().unwrap();
        let layer = LayerNorm::new(3, &Init::new(0, &device));
        let y = layer.forward(Tensor::from_floats([[1.0, 2.0, 6.0], [1e4; 3]], &device));
        let y: Vec<f32> = y.into_data().try_to_vec().unwrap();
        for (y, expected) in y
            .iter()
            .zip([-0.925_819, -0.462_909, 1.388_729, 0.0, 0.0, 0.0])
        {
            assert!((y - expected).abs() < 1e-5, "{y} {expected}");
        }
    }
}
