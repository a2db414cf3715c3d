//! The public operations on [`Tensor`]s.

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor};

#[cfg(feature = "flex")]
use {crate::flex::functional as kernels, offramp_cpu::pool::Pooling};

/// Geometry of a 2-D convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step of the window, `[height, width]`.
    pub stride: [usize; 2],
    /// Zeros added on both sides, `[height, width]`.
    pub padding: [usize; 2],
    /// Distance of neighbouring taps, `[height, width]`.
    pub dilation: [usize; 2],
    /// Number of channel groups.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// What batch normalisation returns in training: the output and the batch statistics.
#[derive(Clone, Debug)]
pub struct BatchNormTrain {
    /// `act(gamma * (x - mean) / sqrt(variance + eps) + beta + residual)`, `[N, C, H, W]`.
    pub output: Tensor<4>,
    /// Mean over batch and positions, `[C]`.
    pub mean: Tensor<1>,
    /// Biased variance over batch and positions, `[C]`.
    pub variance: Tensor<1>,
}

/// 2-D convolution (cross-correlation).
///
/// # Shapes
/// - `x`: `[N, C_in, H, W]`, `weight`: `[C_out, C_in / groups, K_h, K_w]`, `bias`: `[C_out]`
/// - output: `[N, C_out, H_out, W_out]`
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::conv2d(x, weight, bias, options);
    }
    let options = ConvOptions::new(
        options.stride,
        options.padding,
        options.dilation,
        options.groups,
    );
    module::conv2d(x, weight, bias, options)
}

fn finish(y: Tensor<4>, residual: Option<Tensor<4>>, apply_relu: bool) -> Tensor<4> {
    let y = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    if apply_relu { relu(y) } else { y }
}

/// Batch normalisation with the statistics of the batch, an optional residual
/// addition and an optional ReLU.
///
/// # Shapes
/// - `x`, `residual`: `[N, C, H, W]`; `gamma`, `beta`: `[C]`
pub fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> BatchNormTrain {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::batch_norm_train(x, gamma, beta, eps, residual, relu);
    }
    let result = module::batch_norm_train(x, gamma, beta, eps);
    BatchNormTrain {
        output: finish(result.output, residual, relu),
        mean: result.mean,
        variance: result.variance,
    }
}

/// Batch normalisation with given statistics, an optional residual addition and
/// an optional ReLU. Shapes as in [`batch_norm_train`].
#[expect(
    clippy::too_many_arguments,
    reason = "the arguments of batch norm, as in PyTorch"
)]
pub fn batch_norm_eval(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    eps: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) && !x.device().is_autodiff() {
        return kernels::batch_norm_eval(x, [gamma, beta, mean, variance], eps, residual, relu);
    }
    let y = module::batch_norm(x, gamma, beta, mean, variance, eps);
    finish(y, residual, relu)
}

/// Mean over positions: `[N, C, H, W]` to `[N, C]`.
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::global_avg_pool(x);
    }
    let [n, c, h, w] = x.dims();
    x.reshape([n, c, h * w]).mean_dim(2).reshape([n, c])
}

/// Average pooling without padding.
pub fn avg_pool2d(x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2]) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::pool2d(x, Pooling::Average, kernel, stride, [0, 0]);
    }
    module::avg_pool2d(x, AvgPoolOptions::new(kernel).with_stride(stride))
}

/// Maximum pooling; positions outside the map count as minus infinity.
pub fn max_pool2d(
    x: Tensor<4>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::pool2d(x, Pooling::Maximum, kernel, stride, padding);
    }
    let options = MaxPoolOptions::new(kernel)
        .with_stride(stride)
        .with_padding(padding);
    module::max_pool2d(x, options)
}

/// A function of every number of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `x * min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    HardSwish,
}

/// Applies a function to every number. Gradients at corners are PyTorch's.
pub fn activation(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::activation(x, activation);
    }
    let hard_sigmoid = |x: Tensor<4>| between(x + 3.0, 0.0, 6.0) * (1.0 / 6.0);
    match activation {
        Activation::Relu => relu(x),
        Activation::Relu6 => between(x, 0.0, 6.0),
        Activation::HardSigmoid => hard_sigmoid(x),
        Activation::HardSwish => x.clone() * hard_sigmoid(x),
    }
}

/// `min(max(x, low), high)`, with no gradient at the corners, as PyTorch's activations have none; burn's
/// `clamp` has one there.
fn between(x: Tensor<4>, low: f64, high: f64) -> Tensor<4> {
    let below = x.clone().lower_equal_elem(low);
    let above = x.clone().greater_equal_elem(high);
    x.mask_fill(below, low).mask_fill(above, high)
}

/// `a + b`, of maps of one shape.
///
/// # Panics
/// When the shapes differ.
pub fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    assert_eq!(a.dims(), b.dims(), "maps to be added");
    #[cfg(feature = "flex")]
    if kernels::run_here(&a) && kernels::run_here(&b) {
        return kernels::add(a, b);
    }
    a + b
}

/// Maps one after the other along the channels: `[N, C_a, H, W]` and `[N, C_b, H, W]` to
/// `[N, C_a + C_b, H, W]`.
///
/// # Panics
/// When the shapes differ in anything but the channels.
pub fn concat(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&a) && kernels::run_here(&b) {
        return kernels::concat(a, b);
    }
    Tensor::cat(vec![a, b], 1)
}

/// `x`, with its gradient multiplied by `factor` in the backward pass.
///
/// The values are those of `x` to the last bit (on backends without the kernel: where they are
/// finite). Without gradients, or with a factor of 1, it is `x` itself.
///
/// # Panics
/// When `factor` is not between 0 and 1.
pub fn scale_gradient(x: Tensor<4>, factor: f64) -> Tensor<4> {
    assert!((0.0..=1.0).contains(&factor), "a factor between 0 and 1");
    if factor == 1.0 || !x.is_tracked() {
        return x;
    }
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::scale_gradient(x, factor);
    }
    // The second summand is 0 and its derivative factor - 1. As that is negative, the 0 is a
    // negative one, which alone leaves every number what it is, -0 among them.
    let zero = x.clone() - x.clone().detach();
    x + zero * (factor - 1.0)
}

/// `x W^T + b` with the weight as PyTorch stores it.
///
/// # Shapes
/// - `x`: `[N, in]`, `weight`: `[out, in]`, `bias`: `[out]`, output: `[N, out]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&x) {
        return kernels::linear(x, weight, bias);
    }
    module::linear(x, weight.transpose(), bias)
}

/// `-log softmax(logits)[target]` of every row, in nats; 0 where the target is -1.
///
/// # Shapes
/// - `logits`: `[N, C]`, `targets`: `[N]`, output: `[N]`
pub fn softmax_cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if kernels::run_here(&logits) {
        return kernels::softmax_cross_entropy(logits, targets);
    }
    let [n, _] = logits.dims();
    let unknown = targets.clone().lower_elem(0);
    let index = targets.clamp_min(0).reshape([n, 1]);
    let loss = -log_softmax(logits, 1).gather(1, index).reshape([n]);
    loss.mask_fill(unknown, 0.0)
}

/// Settings of one update of stochastic gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// Factor of the update.
    pub learning_rate: f64,
    /// Share `mu` of the velocity that is kept.
    pub momentum: f64,
    /// Factor of the weight that is added to the gradient.
    pub weight_decay: f64,
    /// Whether to step along the velocity of the next update (Nesterov) instead of this one's.
    pub nesterov: bool,
}

/// One update of stochastic gradient descent, as PyTorch defines it:
/// `d = g + decay w`, `v = mu v + d`, `w = w - rate (d + mu v)` if Nesterov, else
/// `w = w - rate v`. A missing velocity counts as zero.
///
/// The tensors carry no gradients; on `flex` the storage of `weight` and `velocity` is
/// reused when it is not shared. Returns the new weight and the new velocity.
pub fn sgd_step<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    options: SgdOptions,
) -> (Tensor<D>, Tensor<D>) {
    #[cfg(feature = "flex")]
    if kernels::run_here(&weight) && !weight.device().is_autodiff() {
        return kernels::sgd_step(weight, gradient, velocity, options);
    }
    let SgdOptions {
        learning_rate,
        momentum,
        weight_decay,
        nesterov,
    } = options;
    let direction = gradient + weight.clone() * weight_decay;
    let velocity = match velocity {
        Some(velocity) => velocity * momentum + direction.clone(),
        None => direction.clone(),
    };
    let step = if nesterov {
        direction + velocity.clone() * momentum
    } else {
        velocity.clone()
    };
    (weight - step * learning_rate, velocity)
}
