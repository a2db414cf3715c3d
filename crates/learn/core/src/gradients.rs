//! Gradients of several backward passes put together.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// Moves the gradient of a leaf from one container into another, adding it to what is there.
pub fn add_gradient<const D: usize>(leaf: &Tensor<D>, into: &mut Gradients, from: &mut Gradients) {
    if let Some(more) = leaf.grad_remove(from) {
        let sum = match leaf.grad_remove(into) {
            Some(there) => there + more,
            None => more,
        };
        leaf.grad_replace(into, sum);
    }
}

/// The same for every parameter of a module that requires a gradient.
pub fn add_gradients<M: Module>(module: &M, into: &mut Gradients, from: &mut Gradients) {
    struct Add<'a> {
        into: &'a mut Gradients,
        from: &'a mut Gradients,
    }

    impl ModuleVisitor for Add<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                add_gradient(&value, self.into, self.from);
            }
        }
    }

    module.visit(&mut Add { into, from });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Module, Debug)]
    struct Pair {
        a: Param<Tensor<1>>,
        b: Param<Tensor<1>>,
        frozen: Param<Tensor<1>>,
    }

    #[test]
    fn sums_are_those_of_one_pass() {
        let device = crate::default_device().unwrap().autodiff();
        let param = |value: f32| Param::from_tensor(Tensor::from_floats([value], &device));
        let pair = Pair {
            a: param(2.0),
            b: param(3.0),
            frozen: param(5.0).set_require_grad(false),
        };
        let frozen = pair.frozen.val();
        let mut all = (pair.a.val().square() * frozen.clone()).backward();
        let mut more = (pair.a.val() * pair.b.val() * frozen).backward();
        add_gradients(&pair, &mut all, &mut more);
        let gradient = |leaf: &Param<Tensor<1>>, from: &Gradients| {
            leaf.val().grad(from).map(Tensor::into_scalar::<f32>)
        };
        assert_eq!(gradient(&pair.a, &all), Some(2.0 * 2.0 * 5.0 + 3.0 * 5.0));
        assert_eq!(gradient(&pair.b, &all), Some(10.0));
        assert_eq!(gradient(&pair.frozen, &all), None);
        assert_eq!(gradient(&pair.b, &more), None);
    }
}
