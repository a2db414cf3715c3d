//! The look-ahead of methods that try a step before it is taken.

use burn::tensor::{Gradients, Tensor};
use offramp_heads::MultiExitNet;
use offramp_losses::Targets;

/// A batch before its step, and the optimiser's step to try on copies of the network.
#[derive(Clone, Copy)]
pub struct LookAhead<'a> {
    /// The network; its clones are networks of their own, running statistics included.
    pub net: &'a MultiExitNet,
    /// The images of the batch, `[N, 3, H, W]`.
    pub images: &'a Tensor<4>,
    /// Their labels.
    pub targets: &'a Targets,
    /// The optimiser of the training.
    pub optimizer: &'a dyn TrialStep,
}

/// An optimiser's next step, without changing the optimiser.
pub trait TrialStep {
    /// The network after a step along `gradients`; the optimiser stays as it is.
    fn step(&self, net: MultiExitNet, gradients: &mut Gradients) -> MultiExitNet;

    /// `-d weight' / d gradient` of that step, the same for all parameters.
    fn gain(&self) -> f64;

    /// The learning rate of the step as a share of the base rate.
    fn progress(&self) -> f64;
}
