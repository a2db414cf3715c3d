//! The operations as a backend extension: `flex`, with and without gradients.

#![allow(
    clippy::too_many_arguments,
    reason = "a backend's operation takes its tensors one by one"
)]

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

use crate::{Activation, Conv2dOptions, Replica, SgdOptions};
use offramp_cpu::pool::{Pooling, Window};

/// A tensor argument that may be missing.
#[derive(ExtensionType)]
pub(crate) enum Optional<B: Backend> {
    /// The argument is given.
    Given(FloatTensor<B>),
    /// The argument is missing.
    Missing,
}

impl<B: Backend> Optional<B> {
    /// The tensor, if there is one.
    pub(crate) fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Missing => None,
        }
    }
}

/// Operations that have handwritten gradients.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait TrainingKernels: Backend {
    /// See [`crate::conv2d`].
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        options: Conv2dOptions,
    ) -> FloatTensor<Self>;

    /// See [`crate::batch_norm_train`]; output, mean and variance.
    fn kernel_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        eps: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// See [`crate::avg_pool2d`] and [`crate::max_pool2d`].
    fn kernel_pool2d(x: FloatTensor<Self>, pooling: Pooling, window: Window) -> FloatTensor<Self>;

    /// See [`crate::scale_gradient`].
    fn kernel_scale_gradient(x: FloatTensor<Self>, factor: f64) -> FloatTensor<Self>;

    /// See [`crate::Replica::mean`].
    fn kernel_replica_mean(x: FloatTensor<Self>, replica: Replica) -> FloatTensor<Self>;

    /// See [`crate::activation`].
    fn kernel_activation(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;

    /// See [`crate::add`].
    fn kernel_add(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::concat`].
    fn kernel_concat(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::linear`].
    fn kernel_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
    ) -> FloatTensor<Self>;

    /// See [`crate::softmax_cross_entropy`].
    fn kernel_softmax_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Operations that are kernels without gradients only.
#[backend_extension(Flex)]
pub(crate) trait InferenceKernels: Backend {
    /// See [`crate::batch_norm_eval`].
    fn kernel_batch_norm_eval(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        eps: f64,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// See [`crate::sgd_step`]; the new weight and velocity.
    fn kernel_sgd_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        #[extension_type] velocity: Optional<Self>,
        options: SgdOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}
