//! The gated ensemble of ONE.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use offramp_kernels::global_avg_pool;
use offramp_nn::{BatchNorm2d, Init, Linear};

use crate::Mixture;
use crate::teacher::rows;

/// One teacher, an ensemble of all exits, weighted per sample by a gate on a map that all exits share:
///
/// ```text
/// g_n = softmax(relu(bn(W mean over positions of x_n)))      e_n = sum_j g_nj z_jn
/// ```
///
/// `W` is `[K, C]`; batch norm normalises the `K` scores over the batch. In a batch of one only its shift
/// is left, which starts at 0: equal weights.
///
/// Lan, Zhu and Gong, *Knowledge Distillation by On-the-Fly Native Ensemble*, NeurIPS 2018. The
/// authors' code (Lan1991Xu/ONE_NeurIPS2018) gives `W` a bias, which batch norm cancels; here there is
/// none.
#[derive(Module, Debug)]
pub struct GatedEnsemble {
    /// `W`.
    pub fc: Linear,
    /// Normalises the scores.
    pub bn: BatchNorm2d,
    /// Weights for the last observed batch, averaged, `[1, K]`.
    #[module(skip)]
    observed: Option<Tensor<2>>,
}

impl GatedEnsemble {
    /// A gate for `exits` exits on maps of `channels` channels, with PyTorch's default initialisation of
    /// `W`.
    pub fn new(channels: usize, exits: usize, init: &mut Init) -> Self {
        Self {
            fc: Linear::unbiased(channels, exits, init),
            bn: BatchNorm2d::new(exits, init),
            observed: None,
        }
    }

    /// The weights of all exits for every sample.
    ///
    /// # Shapes
    /// - `map`: `[N, C, H, W]`, output: `[N, K]`, every row sums to 1
    pub fn gates(&self, map: Tensor<4>) -> Tensor<2> {
        let scores = self.fc.forward(global_avg_pool(map));
        let scores = self.bn.forward_relu(scores.unsqueeze_dims(&[2, 3]));
        softmax(scores.flatten::<2>(1, 3), 1)
    }

    /// The same as a [`Mixture`] with `R` = 1.
    pub fn mixture(&self, map: Tensor<4>) -> Mixture {
        Mixture::PerSample(self.gates(map).unsqueeze_dim(1))
    }

    /// Stores the weights of a batch for [`weights`](Self::weights). They are computed in evaluation mode,
    /// so that a batch updates the running statistics only once.
    pub fn observe(&mut self, map: &Tensor<4>) {
        let gates = self.valid().gates(map.clone().without_autodiff());
        self.observed = Some(gates.mean_dim(0));
    }

    /// The weights averaged over the last batch given to [`observe`](Self::observe), one row;
    /// none before the first.
    pub fn weights(&self) -> Vec<Vec<f32>> {
        self.observed.clone().map(rows).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use burn::tensor::Device;
    use offramp_core::default_device;

    fn gate(weight: [[f32; 2]; 3], device: &Device) -> GatedEnsemble {
        let mut gate = GatedEnsemble::new(2, 3, &mut Init::new(1, device));
        gate.fc.weight = Param::from_data(weight, device);
        gate
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// In evaluation of a fresh gate batch norm only divides by `sqrt(1 + 1e-5)`: scores [1, -1, 2] give
    /// `softmax([1, 0, 2])`.
    #[test]
    fn gates_of_known_scores() {
        let device = default_device().unwrap();
        let gate = gate([[1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], &device);
        // The mean over positions is [1, 1].
        let map = Tensor::<1>::from_floats([0.5, 1.5, 2.0, 0.0], &device).reshape([1, 2, 1, 2]);
        let gates = values(gate.gates(map));
        for (found, expected) in gates.iter().zip([0.244728, 0.090031, 0.665241]) {
            assert!((found - expected).abs() < 1e-5, "{gates:?}");
        }
    }

    /// Normalised over a batch of one, every score is 0.
    #[test]
    fn a_batch_of_one_weighs_all_alike_and_stays_finite() {
        let device = default_device().unwrap().autodiff();
        let mut gate = gate([[3.0, 0.0], [0.0, -1.0], [1.0, 1.0]], &device);
        let map = Tensor::<4>::ones([1, 2, 2, 2], &device).require_grad();
        let gates = gate.gates(map.clone());
        assert_eq!(values(gates.clone()), [1.0 / 3.0; 3]);
        let gradients = gates.narrow(1, 0, 1).sum().backward();
        let gradient = values(map.grad(&gradients).unwrap());
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        let statistics = [gate.bn.running_mean.value(), gate.bn.running_var.value()];
        gate.observe(&map);
        let after = [gate.bn.running_mean.value(), gate.bn.running_var.value()];
        for (before, after) in statistics.into_iter().zip(after) {
            let (before, after) = (values(before), values(after));
            assert!(before.iter().all(|x| x.is_finite()), "{before:?}");
            assert_eq!(before, after, "looking changes nothing");
        }
        let sum: f32 = gate.weights()[0].iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
