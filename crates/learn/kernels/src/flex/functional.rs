//! From public tensors to the extension and back.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{DType, Int, Tensor};

use crate::extension::{InferenceKernels, Optional, TrainingKernels};
use crate::{Activation, BatchNormTrain, Conv2dOptions, Replica, SgdOptions};
use offramp_cpu::pool::{Pooling, Window};

/// Whether the kernels serve this tensor: `f32` on the `flex` backend, with or without gradients.
pub(crate) fn run_here<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32
        && matches!(
            x.device().without_autodiff().as_dispatch(),
            DispatchDevice::Flex(_)
        )
}

fn optional<const D: usize>(tensor: Option<Tensor<D>>) -> Optional<Dispatch> {
    match tensor {
        Some(tensor) => Optional::Given(tensor.into_dispatch()),
        None => Optional::Missing,
    }
}

/// See [`crate::conv2d`].
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        optional(bias),
        options,
    ))
}

/// See [`crate::batch_norm_train`].
pub(crate) fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> BatchNormTrain {
    let (output, mean, variance) = <Dispatch as TrainingKernels>::kernel_batch_norm_train(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        optional(residual),
        eps,
        relu,
    );
    BatchNormTrain {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// See [`crate::batch_norm_eval`]; `parameters` are gamma, beta, mean and variance.
pub(crate) fn batch_norm_eval(
    x: Tensor<4>,
    parameters: [Tensor<1>; 4],
    eps: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let [gamma, beta, mean, variance] = parameters.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as InferenceKernels>::kernel_batch_norm_eval(
        x.into_dispatch(),
        gamma,
        beta,
        mean,
        variance,
        optional(residual),
        eps,
        relu,
    ))
}

/// See [`crate::global_avg_pool`].
pub(crate) fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    let [n, c, h, w] = x.dims();
    pool2d(x, Pooling::Average, [h, w], [1, 1], [0, 0]).reshape([n, c])
}

/// See [`crate::avg_pool2d`] and [`crate::max_pool2d`].
pub(crate) fn pool2d(
    x: Tensor<4>,
    pooling: Pooling,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    let window = Window {
        kernel,
        stride,
        padding,
    };
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_pool2d(
        x.into_dispatch(),
        pooling,
        window,
    ))
}

/// See [`crate::scale_gradient`].
pub(crate) fn scale_gradient(x: Tensor<4>, factor: f64) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_scale_gradient(
        x.into_dispatch(),
        factor,
    ))
}

/// See [`crate::Replica::mean`].
pub(crate) fn replica_mean<const D: usize>(x: Tensor<D>, replica: Replica) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_replica_mean(
        x.into_dispatch(),
        replica,
    ))
}

/// See [`crate::activation`].
pub(crate) fn activation(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_activation(
        x.into_dispatch(),
        activation,
    ))
}

/// See [`crate::add`].
pub(crate) fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_add(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

/// See [`crate::concat`].
pub(crate) fn concat(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_concat(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

/// See [`crate::linear`].
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        optional(bias),
    ))
}

/// See [`crate::softmax_cross_entropy`].
pub(crate) fn softmax_cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TrainingKernels>::kernel_softmax_cross_entropy(
        logits.into_dispatch(),
        targets.into_dispatch(),
    ))
}

/// See [`crate::sgd_step`].
pub(crate) fn sgd_step<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    options: SgdOptions,
) -> (Tensor<D>, Tensor<D>) {
    let (weight, velocity) = <Dispatch as InferenceKernels>::kernel_sgd_step(
        weight.into_dispatch(),
        gradient.into_dispatch(),
        optional(velocity),
        options,
    );
    (
        Tensor::from_dispatch(weight),
        Tensor::from_dispatch(velocity),
    )
}
