//! Layer normalisation of vectors.

use burn::tensor::Tensor;

use crate::narrow;

/// Every row brought to mean 0 and variance 1, PyTorch's `F.layer_norm` over the last axis (Ba, Kiros
/// and Hinton, 2016): `y = weight * (x - mean) / sqrt(var + eps) + bias`, with the biased variance of
/// the row.
///
/// # Shapes
/// - `x` and output: `[N, D]`; `weight` and `bias`: `[D]`
pub(crate) fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<2> {
    narrow::around(x, |x| {
        let centred = x.clone() - x.mean_dim(1);
        let variance = centred.clone().square().mean_dim(1);
        let normal = centred / (variance + eps).sqrt();
        normal * weight.unsqueeze() + bias.unsqueeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    /// `torch.nn.functional.layer_norm(torch.tensor([[1., 2., 6.]]), (3,))`: mean 3, variance 14/3.
    #[test]
    fn the_variance_of_a_row_is_the_biased_one() {
        let device = default_device().unwrap();
        let (weight, bias) = (Tensor::ones([3], &device), Tensor::zeros([3], &device));
        let x = Tensor::from_floats([[1.0, 2.0, 6.0], [1e4; 3]], &device);
        let y = layer_norm(x, weight, bias, 1e-5);
        let y: Vec<f32> = y.into_data().try_to_vec().unwrap();
        for (y, expected) in y
            .iter()
            .zip([-0.925_819, -0.462_909, 1.388_729, 0.0, 0.0, 0.0])
        {
            assert!((y - expected).abs() < 1e-5, "{y} {expected}");
        }
    }
}
