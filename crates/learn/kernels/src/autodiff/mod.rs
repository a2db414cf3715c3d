//! Gradients of the kernels.

mod conv;
mod linear;
mod loss;
mod maps;
mod norm;
mod pending;
mod pool;
mod replica;
mod scale;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::{
    Flex,
    tensor::{FloatTensor, IntTensor},
};

use crate::extension::{Optional, TrainingKernels};
use crate::{Activation, Conv2dOptions, Replica};
use offramp_cpu::pool::{Pooling, Window};

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

    fn kernel_pool2d(x: FloatTensor<Self>, pooling: Pooling, window: Window) -> FloatTensor<Self> {
        pool::pool2d::<C>(x, pooling, window)
    }

    fn kernel_scale_gradient(x: FloatTensor<Self>, factor: f64) -> FloatTensor<Self> {
        scale::scale_gradient::<C>(x, factor)
    }

    fn kernel_replica_mean(x: FloatTensor<Self>, replica: Replica) -> FloatTensor<Self> {
        replica::mean::<C>(x, replica)
    }

    fn kernel_activation(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        maps::activation::<C>(x, activation)
    }

    fn kernel_add(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        maps::add_maps::<C>(a, b)
    }

    fn kernel_concat(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        maps::concat::<C>(a, b)
    }

    fn kernel_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
    ) -> FloatTensor<Self> {
        linear::linear::<C>(x, weight, bias.into_option())
    }

    fn kernel_softmax_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        loss::softmax_cross_entropy::<C>(logits, targets)
    }
}
