//! The operations as a backend extension: `flex`, with and without gradients.

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};

use crate::Conv2dOptions;

/// A tensor argument that may be missing.
#[derive(ExtensionType)]
pub enum Optional<B: Backend> {
    /// The argument is given.
    Given(FloatTensor<B>),
    /// The argument is missing.
    Missing,
}

impl<B: Backend> Optional<B> {
    /// The tensor, if there is one.
    pub fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Missing => None,
        }
    }
}

/// Operations that have handwritten gradients.
#[backend_extension(Flex, Autodiff)]
pub trait TrainingKernels: Backend {
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
}

/// Operations that are kernels without gradients only.
#[backend_extension(Flex)]
pub trait InferenceKernels: Backend {
    /// See [`crate::batch_norm_eval`].
    #[allow(clippy::too_many_arguments)]
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
}
