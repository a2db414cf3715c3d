//! The weight net's optimiser.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use offramp_nn::Buffer;

use super::WeightNet;

const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// Adam as PyTorch's `optim.Adam` (Kingma and Ba, ICLR 2015), the weight decay an L2 penalty:
///
/// `g <- g + wd w;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;`
/// `w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)`
///
/// The weight net has its own loss and learning rate, beside the optimiser of the training. The
/// moments are tensors of the method, so that a checkpoint holds them.
#[derive(Module, Debug)]
pub(super) struct Adam {
    mean: Vec<Buffer<1>>,
    square: Vec<Buffer<1>>,
    #[module(skip)]
    steps: u64,
}

impl Adam {
    pub(crate) fn new(net: &WeightNet) -> Self {
        struct Zeros(Vec<Buffer<1>>);
        impl ModuleVisitor for Zeros {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let zeros = param.val().without_autodiff().zeros_like();
                self.0.push(Buffer::new(zeros.reshape([-1])));
            }
        }
        let mut zeros = Zeros(Vec::new());
        net.visit(&mut zeros);
        Self {
            mean: zeros.0.clone(),
            square: zeros.0,
            steps: 0,
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// The weight net after a step; parameters without a gradient stay.
    pub(crate) fn step(
        &mut self,
        net: WeightNet,
        gradients: &Gradients,
        lr: f64,
        weight_decay: f64,
    ) -> WeightNet {
        self.steps += 1;
        net.map(&mut Update {
            adam: self,
            gradients,
            lr,
            weight_decay,
            at: 0,
        })
    }
}

struct Update<'a> {
    adam: &'a Adam,
    gradients: &'a Gradients,
    lr: f64,
    weight_decay: f64,
    /// Index of the current parameter, in the order of a visit.
    at: usize,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (mean, square) = (&self.adam.mean[self.at], &self.adam.square[self.at]);
        self.at += 1;
        let (id, value, mapper) = param.consume();
        let Some(gradient) = value.grad(self.gradients) else {
            return Param::from_mapped_value(id, value, mapper);
        };
        let shape = value.dims();
        let value = value.inner().reshape([-1]);
        let gradient = gradient.reshape([-1]) + value.clone() * self.weight_decay;
        let blend = |beta: f64, new: Tensor<1>| {
            move |old: Tensor<1>| old.without_autodiff() * beta + new * (1.0 - beta)
        };
        mean.update(blend(BETAS.0, gradient.clone()));
        square.update(blend(BETAS.1, gradient.square()));
        let left = |beta: f64| 1.0 - beta.powf(self.adam.steps as f64);
        let mean = mean.value().without_autodiff() / left(BETAS.0);
        let square = square.value().without_autodiff() / left(BETAS.1);
        let value = value - mean * self.lr / (square.sqrt() + EPS);
        let value = Tensor::from_inner(value.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}
