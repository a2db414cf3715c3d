//! Batch normalisation with PyTorch's statistics.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param};
use burn::tensor::{Tensor, activation};
use offramp_core::widened;
use offramp_kernels::{batch_norm_eval, batch_norm_train};

use crate::{Buffer, Init, narrow, replica};

/// Batch normalisation over `[N, C, H, W]`, PyTorch's `nn.BatchNorm2d`
/// (Ioffe and Szegedy, ICML 2015):
/// `y = weight * (x - mean) / sqrt(var + eps) + bias` per channel.
///
/// In training the statistics are those of the batch, and the running ones
/// follow them: `running <- (1 - momentum) * running + momentum * batch`, where
/// the running variance takes the unbiased estimate, as PyTorch does. In
/// evaluation (after [`Module::valid`], or frozen) the running ones are used.
///
/// Maps of float16 and bfloat16 are normalised in float32 and come back in their own type; the
/// statistics are float32.
///
/// The ReLU and the residual addition that follow a batch norm in most networks
/// are part of the same call, so that a backend can fuse them.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct BatchNorm2d {
    /// Scale, `[C]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[C]`.
    pub bias: Param<Tensor<1>>,
    /// Running mean, `[C]`.
    pub running_mean: Buffer<1>,
    /// Running variance (unbiased), `[C]`.
    pub running_var: Buffer<1>,
    training: Param<Flag>,
    momentum: f64,
    eps: f64,
}

impl BatchNorm2d {
    /// Scale 1, shift 0, momentum 0.1, eps 1e-5.
    pub fn new(channels: usize, init: &Init) -> Self {
        let device = init.device();
        Self {
            weight: init.full([channels], 1.0),
            bias: init.full([channels], 0.0),
            running_mean: Buffer::new(Tensor::zeros([channels], device)),
            running_var: Buffer::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
            momentum: 0.1,
            eps: 1e-5,
        }
    }

    /// The same with another momentum of the running statistics.
    pub fn with_momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Normalises.
    ///
    /// # Shapes
    /// - `x` and output: `[N, C, H, W]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.run(x, None, false)
    }

    /// `relu(bn(x))`.
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.run(x, None, true)
    }

    /// `relu(bn(x) + residual)`.
    pub fn forward_add_relu(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.run(x, Some(residual), true)
    }

    fn run(&self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        let norm = Norm {
            weight: self.weight.val(),
            bias: self.bias.val(),
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: self.momentum,
            eps: self.eps,
            training: self.training.is_enabled(),
        };
        norm.forward(x, residual, relu)
    }
}

/// What a batch norm is computed from.
pub(crate) struct Norm<'a> {
    pub weight: Tensor<1>,
    pub bias: Tensor<1>,
    pub running_mean: &'a Buffer<1>,
    pub running_var: &'a Buffer<1>,
    pub momentum: f64,
    pub eps: f64,
    pub training: bool,
}

impl Norm<'_> {
    /// `bn(x)`, with the residual added and the ReLU applied where they are asked for. In float32,
    /// whatever the type of the map: a variance is a sum of squares.
    pub(crate) fn forward(
        self,
        x: Tensor<4>,
        residual: Option<Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let residual = residual.map(|residual| widened(&residual));
        narrow::around(x, |x| self.wide(x, residual, relu))
    }

    fn wide(self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        if !(x.is_autodiff() && self.training) {
            let (mean, var) = (self.running_mean.value(), self.running_var.value());
            let (weight, bias) = (self.weight, self.bias);
            return batch_norm_eval(x, weight, bias, mean, var, self.eps, residual, relu);
        }
        if let Some(statistics) = replica::statistics(&x) {
            return self.synchronised(x, statistics, residual, relu);
        }
        let [n, _, h, w] = x.dims();
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        let result = batch_norm_train(x, weight, bias, self.eps, residual, relu);
        self.remember(result.mean, result.variance, (n * h * w) as f64);
        result.output
    }

    /// The same with the statistics of all replicas' rows.
    fn synchronised(
        &self,
        x: Tensor<4>,
        statistics: replica::Statistics,
        residual: Option<Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let replica::Statistics {
            mean,
            variance,
            count,
        } = statistics;
        self.remember(mean.clone(), variance.clone(), count);
        let map = |x: Tensor<1>| {
            let [channels] = x.dims();
            x.reshape([1, channels, 1, 1])
        };
        let scale = self.weight.clone() / (variance + self.eps).sqrt();
        let y = (x - map(mean)) * map(scale) + map(self.bias.clone());
        let y = match residual {
            Some(residual) => y + residual,
            None => y,
        };
        if relu { activation::relu(y) } else { y }
    }

    /// Lets the running statistics follow those of a batch with the given number of values per channel.
    fn remember(&self, mean: Tensor<1>, variance: Tensor<1>, count: f64) {
        // One value per channel has no unbiased variance; PyTorch refuses it, we keep the biased one.
        let unbiased = if count > 1.0 {
            count / (count - 1.0)
        } else {
            1.0
        };
        self.follow(self.running_mean, mean, 1.0);
        self.follow(self.running_var, variance, unbiased);
    }

    fn follow(&self, running: &Buffer<1>, batch: Tensor<1>, factor: f64) {
        running.update(|running| {
            running * (1.0 - self.momentum) + batch.detach() * (self.momentum * factor)
        });
    }
}

impl ModuleDisplay for BatchNorm2d {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [channels] = self.weight.dims();
        content
            .add("channels", &channels)
            .add("momentum", &self.momentum)
            .add("eps", &self.eps)
            .optional()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn running_statistics_are_those_of_pytorch() {
        // bn = torch.nn.BatchNorm2d(1); bn(torch.tensor([1., 2., 3., 6.]).reshape(2, 1, 1, 2))
        // mean 3, unbiased variance 14/3: running_mean 0.3, running_var 0.9 + 0.1 * 14/3.
        let device = default_device().unwrap().autodiff();
        let layer = BatchNorm2d::new(1, &Init::new(0, &device));
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 6.0], &device).reshape([2, 1, 1, 2]);
        let y = values(layer.forward(x));
        let std = (3.5f32 + 1e-5).sqrt();
        for (y, x) in y.iter().zip([1.0, 2.0, 3.0, 6.0]) {
            assert!((y - (x - 3.0) / std).abs() < 1e-6);
        }
        assert!((values(layer.running_mean.value())[0] - 0.3).abs() < 1e-6);
        assert!((values(layer.running_var.value())[0] - 1.366_666_7).abs() < 1e-6);
    }

    #[test]
    fn evaluation_uses_and_keeps_the_running_statistics() {
        let device = default_device().unwrap().autodiff();
        let layer = BatchNorm2d::new(1, &Init::new(0, &device)).valid();
        let x = Tensor::<4>::full([1, 1, 1, 2], 2.0, &default_device().unwrap());
        let y = values(layer.forward_add_relu(x.clone(), x * -2.0));
        assert_eq!(y, [0.0, 0.0]);
        assert_eq!(values(layer.running_mean.value()), [0.0]);
    }
}
