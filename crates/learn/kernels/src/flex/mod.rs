//! The kernels on tensors of the `flex` backend.

pub(crate) mod conv;
pub(crate) mod functional;
pub(crate) mod linear;
pub(crate) mod loss;
pub(crate) mod maps;
pub(crate) mod norm;
pub(crate) mod pool;
mod sgd;
mod storage;
pub(crate) mod tensor;

use burn::backend::{Flex, flex::FlexTensor};

use crate::extension::{InferenceKernels, Optional, TrainingKernels};
use crate::{Activation, Conv2dOptions, Replica, SgdOptions};
use offramp_cpu::pool::{Pooling, Window};

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

    fn kernel_pool2d(x: FlexTensor, pooling: Pooling, window: Window) -> FlexTensor {
        pool::forward(pooling, window, &x)
    }

    fn kernel_scale_gradient(x: FlexTensor, _factor: f64) -> FlexTensor {
        x
    }

    fn kernel_replica_mean(x: FlexTensor, replica: Replica) -> FlexTensor {
        tensor::replica_mean(&x, &replica)
    }

    fn kernel_activation(x: FlexTensor, activation: Activation) -> FlexTensor {
        maps::activate(&x, activation)
    }

    fn kernel_add(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        tensor::add_rows(a, Some(b))
    }

    fn kernel_concat(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        maps::concat(&a, &b)
    }

    fn kernel_linear(x: FlexTensor, weight: FlexTensor, bias: Optional<Self>) -> FlexTensor {
        linear::forward(&x, &weight, bias.into_option().as_ref())
    }

    fn kernel_softmax_cross_entropy(logits: FlexTensor, targets: FlexTensor) -> FlexTensor {
        loss::forward(&logits, targets).loss
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
        norm::eval(&x, parameters, residual.into_option().as_ref(), eps, relu)
    }

    fn kernel_sgd_step(
        weight: FlexTensor,
        gradient: FlexTensor,
        velocity: Optional<Self>,
        options: SgdOptions,
    ) -> (FlexTensor, FlexTensor) {
        sgd::step(weight, &gradient, velocity.into_option(), options)
    }
}
