//! From public tensors to the extension and back.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{DType, Tensor};

use crate::extension::{InferenceKernels, Optional, TrainingKernels};
use crate::{BatchNormTrain, Conv2dOptions};

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
