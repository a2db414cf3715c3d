//! Initial values of parameters.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

/// The source of initial parameters: a seeded generator on the host and the
/// device that the tensors go to. Equal seeds and equal orders of calls give
/// equal parameters on every device.
#[derive(Clone, Debug)]
pub struct Init {
    rng: ChaCha8Rng,
    device: Device,
}

impl Init {
    /// A generator for `device`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            device: device.clone(),
        }
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A generator for a part of the network that shall not depend on how many
    /// numbers other parts draw.
    pub fn fork(&mut self) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(self.rng.random()),
            device: self.device.clone(),
        }
    }

    /// Kaiming normal by fan-out, for ReLU: `w ~ N(0, 2 / fan_out)`,
    /// `fan_out = C_out * K_h * K_w` (He et al., ICCV 2015). As PyTorch's
    /// `kaiming_normal_(mode="fan_out", nonlinearity="relu")`, it does not divide by the
    /// number of groups.
    pub fn kaiming_fan_out(&mut self, shape: [usize; 4]) -> Param<Tensor<4>> {
        let fan_out = shape[0] * shape[2] * shape[3];
        self.normal(shape, (2.0 / fan_out as f64).sqrt())
    }

    /// `w ~ N(0, std^2)`.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        let normal = Normal::new(0.0, std).expect("a fan is positive");
        self.draw(shape, normal)
    }

    /// `w ~ U(-bound, bound)`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        let uniform = Uniform::new_inclusive(-bound, bound).expect("a bound is positive");
        self.draw(shape, uniform)
    }

    /// All values equal.
    pub fn full<const D: usize>(&self, shape: [usize; D], value: f64) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::full(shape, value, &self.device))
    }

    fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        distribution: impl Distribution<f64>,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values: Vec<f32> = (&mut self.rng)
            .sample_iter(distribution)
            .take(count)
            .map(|value: f64| value as f32)
            .collect();
        Param::from_data(TensorData::new(values, shape), &self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn kaiming_has_the_stated_variance_and_no_mean() {
        let mut init = Init::new(1, &default_device().unwrap());
        let weight = init.kaiming_fan_out([64, 32, 3, 3]).val();
        let values: Vec<f32> = weight.into_data().try_to_vec().unwrap();
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
        let expected = 2.0 / (64.0 * 9.0);
        // Standard errors: sqrt(var / n) = 4.3e-4 for the mean, var * sqrt(2 / n) for the variance.
        assert!(mean.abs() < 4.0 * (expected / n).sqrt(), "{mean}");
        assert!(
            (variance / expected - 1.0).abs() < 4.0 * (2.0 / n).sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn a_seed_determines_the_values() {
        let draw = |seed| {
            let mut init = Init::new(seed, &default_device().unwrap());
            init.uniform([8], 1.0).val().into_data()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
