//! Gradient clipping by the norm over all parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// The L2 norm of the gradients of several modules together.
#[derive(Clone, Debug, Default)]
pub struct GradientNorm {
    squares: Option<Tensor<1>>,
}

impl GradientNorm {
    /// Adds the gradients of a module. They stay where they are.
    pub fn add<M: Module>(&mut self, module: &M, gradients: &Gradients) {
        struct Sum<'a> {
            norm: &'a mut GradientNorm,
            gradients: &'a Gradients,
        }

        impl ModuleVisitor for Sum<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = param.val().grad(self.gradients) {
                    let square = gradient.square().sum();
                    self.norm.squares = Some(match self.norm.squares.take() {
                        Some(sum) => sum + square,
                        None => square,
                    });
                }
            }
        }

        module.visit(&mut Sum {
            norm: self,
            gradients,
        });
    }

    /// The norm, `[1]`, on the device; `None` when there was no gradient.
    pub fn value(&self) -> Option<Tensor<1>> {
        self.squares.clone().map(Tensor::sqrt)
    }

    /// The factor that brings the norm down to `max` and leaves smaller ones alone:
    /// `min(1, max / (norm + 1e-6))` as PyTorch's `clip_grad_norm_`, `[1]`.
    pub fn clip(&self, max: f64) -> Option<Tensor<1>> {
        let norm = self.value()?;
        Some(((norm + 1e-6).recip() * max).clamp_max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[derive(Module, Debug)]
    struct Vector {
        weight: Param<Tensor<1>>,
    }

    #[test]
    fn the_norm_runs_over_all_modules() {
        let device = default_device().unwrap().autodiff();
        let vector = |values: [f32; 2]| Vector {
            weight: Param::from_tensor(Tensor::from_floats(values, &device)),
        };
        // d/dw of sum(w^2) / 2 is w: the norm of (3, 0, 0, 4) is 5.
        let (a, b) = (vector([3.0, 0.0]), vector([0.0, 4.0]));
        let loss = (a.weight.val().square().sum() + b.weight.val().square().sum()) / 2.0;
        let gradients = loss.backward();
        let mut norm = GradientNorm::default();
        norm.add(&a, &gradients);
        norm.add(&b, &gradients);
        let scalar = |tensor: Option<Tensor<1>>| tensor.unwrap().into_scalar::<f32>();
        assert_eq!(scalar(norm.value()), 5.0);
        assert!((scalar(norm.clip(1.0)) - 0.2).abs() < 1e-6);
        assert_eq!(scalar(norm.clip(10.0)), 1.0);
        assert!(a.weight.val().grad(&gradients).is_some());
    }
}
