//! Steps of a network along a gradient.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use offramp_core::params::Path;

/// A direction in the space of a module's parameters, flat tensors by name.
pub(super) type Direction = BTreeMap<String, Tensor<1>>;

/// The length of a direction; `None` when it is 0 or not finite.
pub(super) fn norm(direction: &Direction) -> Option<f64> {
    let squares = direction.values().map(|part| part.clone().square().sum());
    let sum = squares.reduce(|a, b| a + b)?.into_scalar::<f64>();
    (sum.is_finite() && sum > 0.0).then(|| sum.sqrt())
}

/// The module at `theta + step direction`; parameters without a direction stay.
pub(super) fn moved<M: Module>(module: M, direction: &Direction, step: f64) -> M {
    struct Move<'a> {
        path: Path,
        direction: &'a Direction,
        step: f64,
    }

    impl ModuleMapper for Move<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(along) = self.direction.get(&self.path.name()) else {
                return param;
            };
            let (id, value, mapper) = param.consume();
            let shape = value.dims();
            let moved = value.inner() + along.clone().reshape(shape) * self.step;
            let moved = Tensor::from_inner(moved).require_grad();
            Param::from_mapped_value(id, moved, mapper)
        }
    }

    module.map(&mut Move {
        path: Path::default(),
        direction,
        step,
    })
}
