//! Where a check computes: a device and a data type.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use offramp_nn::Init;

/// Where a check computes, and in which type.
#[derive(Clone, Debug)]
pub struct Place {
    device: Device,
    dtype: DType,
}

impl Place {
    /// A device, in `f32`.
    pub fn on(device: Device) -> Self {
        Self {
            device,
            dtype: DType::F32,
        }
    }

    /// What devices are compared with: `flex` in `f64`, for which there are no kernels of this project.
    #[cfg(feature = "flex")]
    pub fn reference() -> Self {
        Self {
            device: Device::flex(),
            dtype: DType::F64,
        }
    }

    /// The device, without gradients.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// `sin(0.9 seed + 1.7 i + 0.05 i^2)` for value `i`, the same numbers everywhere.
    pub(crate) fn wave<const D: usize>(&self, seed: usize, shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(numbers(seed, shape.iter().product()), shape);
        Tensor::from_data(data, (&self.device, self.dtype))
    }

    /// [`wave`](Self::wave), with gradients.
    pub(crate) fn leaf<const D: usize>(&self, seed: usize, shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(numbers(seed, shape.iter().product()), shape);
        let device = self.device.clone().autodiff();
        Tensor::from_data(data, (&device, self.dtype)).require_grad()
    }

    /// Labels, with gradients' device: -1 is none.
    pub(crate) fn labels(&self, labels: &[i64]) -> Tensor<1, Int> {
        Tensor::from_data(labels, &self.device.clone().autodiff())
    }

    /// A generator for modules with gradients here.
    pub(crate) fn init(&self, seed: u64) -> Init {
        Init::new(seed, &self.device.clone().autodiff())
    }

    /// A module in the type of this place. Initial values are drawn in `f32` everywhere.
    pub(crate) fn module<M: Module>(&self, module: M) -> M {
        struct Cast(DType);
        impl ModuleMapper for Cast {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let (id, tensor, _) = param.consume();
                let trained = tensor.is_require_grad();
                let device = tensor.device();
                let tensor = Tensor::from_data(tensor.into_data(), (&device, self.0));
                Param::initialized(id, tensor.set_require_grad(trained))
            }
        }
        match self.dtype {
            DType::F32 => module,
            dtype => module.map(&mut Cast(dtype)),
        }
    }

    /// `sum(x * wave)`: a scalar in which every value of `x` counts.
    pub(crate) fn probe<const D: usize>(&self, x: Tensor<D>, seed: usize) -> Tensor<1> {
        let weights = Tensor::from_inner(self.wave(seed, x.dims()));
        (x * weights).sum()
    }
}

fn numbers(seed: usize, count: usize) -> Vec<f64> {
    let value = |i: usize| {
        let (seed, i) = (seed as f64, i as f64);
        // What f32 can hold, so that every type starts from the same numbers.
        f64::from((0.9 * seed + 1.7 * i + 0.05 * i * i).sin() as f32)
    };
    (0..count).map(value).collect()
}

/// The numbers of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
