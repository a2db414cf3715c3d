//! Gradient clipping by the norm over all parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// The L2 norm of the gradients of several modules together.
#[derive(Clone, Debug, Default)]
pub struct GradientNorm {
    squares: Option<Tensor<1>>,
    /// Factor by which the loss was scaled.
    factor: Option<f64>,
}

impl GradientNorm {
    /// An empty norm of gradients of a loss that was multiplied by `factor`; the norm is divided by it.
    pub fn of_scaled(factor: Option<f64>) -> Self {
        Self {
            squares: None,
            factor,
        }
    }

    /// Adds the gradients of a module, without taking them out.
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
        let norm = self.squares.clone()?.sqrt();
        Some(match self.factor {
            Some(factor) => norm * (1.0 / factor),
            None => norm,
        })
    }

    /// Whether every gradient is finite, which takes a transfer from the device. Gradients whose
    /// squares add up to more than 3e38 do not count as finite: a step along them would be useless.
    pub fn is_finite(&self) -> bool {
        let finite = |squares: Tensor<1>| squares.into_scalar::<f32>().is_finite();
        self.squares.clone().is_none_or(finite)
    }

    /// The factor that brings the norm down to `max` and leaves smaller ones alone:
    /// `min(1, max / (norm + 1e-6))` as PyTorch's `clip_grad_norm_`, `[1]`.
    pub fn clip(&self, max: f64) -> Option<Tensor<1>> {
        let norm = self.value()?;
        Some(((norm + 1e-6).recip() * max).clamp_max(1.0))
    }

    /// The factor of the gradients before the step, `[1]`: it undoes the scale of the loss and brings
    /// their norm down to `max`. `None` for neither.
    pub fn scale(&self, max: Option<f64>) -> Option<Tensor<1>> {
        let clip = max.and_then(|max| self.clip(max));
        match (self.factor, clip) {
            (None, clip) => clip,
            (Some(factor), Some(clip)) => Some(clip * (1.0 / factor)),
            (Some(factor), None) => (self.squares.as_ref())
                .map(|squares| Tensor::full([1], 1.0 / factor, &squares.device())),
        }
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

    #[test]
    fn the_factor_of_the_loss_is_taken_out_before_clipping() {
        let device = default_device().unwrap().autodiff();
        let weight = Vector {
            weight: Param::from_tensor(Tensor::from_floats([3.0, 4.0], &device)),
        };
        let norm = |factor: f64| {
            let loss = weight.weight.val().square().sum() / 2.0 * factor;
            let mut norm = GradientNorm::of_scaled(Some(factor));
            norm.add(&weight, &loss.backward());
            norm
        };
        let scalar = |tensor: Option<Tensor<1>>| tensor.unwrap().into_scalar::<f32>();
        let scaled = norm(1024.0);
        assert_eq!(scalar(scaled.value()), 5.0);
        assert_eq!(scalar(scaled.scale(None)), 1.0 / 1024.0);
        assert!((scalar(scaled.scale(Some(1.0))) * 1024.0 - 0.2).abs() < 1e-6);
        assert!(scaled.is_finite());
        assert!(!norm(f64::from(f32::MAX)).is_finite());
    }
}
