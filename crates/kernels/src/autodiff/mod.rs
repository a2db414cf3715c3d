//! Gradients of the kernels.

mod conv;
mod norm;
mod pending;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::{Flex, tensor::FloatTensor};

use crate::Conv2dOptions;
use crate::extension::{Optional, TrainingKernels};

impl<C: CheckpointStrategy> TrainingKernels for Autodiff<Flex, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        options: Conv2dOptions,
    ) -> FloatTensor<Self> {
        conv::conv2d::<C>(x, weight, bias.into_option(), options)
    }

    fn kernel_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: Optional<Self>,
        eps: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        norm::batch_norm_train::<C>(x, gamma, beta, residual.into_option(), eps, relu)
    }
}
