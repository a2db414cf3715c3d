//! The kernels on tensors of the `flex` backend.

pub(crate) mod conv;
pub(crate) mod functional;
pub(crate) mod norm;
mod storage;
pub(crate) mod tensor;

use burn::backend::{Flex, flex::FlexTensor};

use crate::Conv2dOptions;
use crate::extension::{InferenceKernels, Optional, TrainingKernels};

impl TrainingKernels for Flex {
    fn kernel_conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Optional<Self>,
        options: Conv2dOptions,
    ) -> FlexTensor {
        conv::forward(&x, &weight, bias.into_option().as_ref(), options)
    }

    fn kernel_batch_norm_train(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        residual: Optional<Self>,
        eps: f64,
        relu: bool,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let residual = residual.into_option();
        let result = norm::train(&x, &gamma, &beta, residual.as_ref(), eps, relu);
        (
            result.output,
            tensor::vector(result.statistics.mean),
            tensor::vector(result.statistics.variance),
        )
    }
}

impl InferenceKernels for Flex {
    fn kernel_batch_norm_eval(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        residual: Optional<Self>,
        eps: f64,
        relu: bool,
    ) -> FlexTensor {
        let parameters = [&gamma, &beta, &mean, &variance];
        norm::eval(x, parameters, residual.into_option().as_ref(), eps, relu)
    }
}
