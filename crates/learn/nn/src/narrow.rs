//! Layers in types narrower than float32.

use burn::tensor::{FloatDType, Tensor};
use offramp_core::widened;

/// A parameter in the type of a map, with a way back for its gradient; the parameter itself where it
/// is of that type.
pub(crate) fn like<const D: usize, const E: usize>(
    parameter: Tensor<D>,
    map: &Tensor<E>,
) -> Tensor<D> {
    if parameter.dtype() == map.dtype() {
        parameter
    } else {
        parameter.cast(FloatDType::from(map.dtype()))
    }
}

/// Computes in float32 what is given in float16 or bfloat16, and returns it in that type.
pub(crate) fn around<const D: usize>(
    x: Tensor<D>,
    compute: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let given = x.dtype();
    let y = compute(widened(&x));
    if y.dtype() == given {
        y
    } else {
        y.cast(FloatDType::from(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer_norm::layer_norm;
    use crate::{BatchNorm2d, Conv2dConfig, Init, Linear};
    use burn::module::Module;
    use burn::tensor::{DType, Device};
    use offramp_core::{DeviceSpec, Precision, default_device};

    fn device() -> Device {
        default_device().unwrap().autodiff()
    }

    /// The narrow types that the device of the tests computes in.
    fn narrow_types() -> impl Iterator<Item = Precision> {
        let spec = DeviceSpec::from_env().unwrap();
        [Precision::Bf16, Precision::Fp16]
            .into_iter()
            .filter(move |precision| precision.check(spec, &device()).is_ok())
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    /// Within `tolerance` of the largest value.
    fn near(found: &[f32], expected: &[f32], tolerance: f32) {
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= tolerance * largest, "{f} {e}");
        }
    }

    #[test]
    fn a_layer_computes_in_the_type_of_its_map_and_its_gradients_are_wide() {
        let device = device();
        let mut init = Init::new(1, &device);
        let conv = Conv2dConfig::new(3, 4, 3).with_bias(true).init(&mut init);
        let (bn, fc) = (BatchNorm2d::new(4, &init), Linear::new(4, 5, &mut init));
        let norm = |x| {
            layer_norm(
                x,
                Tensor::ones([5], &device),
                Tensor::zeros([5], &device),
                1e-5,
            )
        };
        let x = init.normal([6, 3, 8, 8], 1.0).val().detach();
        let run = |precision: Precision| {
            let bn = bn.clone();
            let map = bn.forward_relu(conv.forward(precision.cast(x.clone())));
            let pooled = map.clone().mean_dim(3).mean_dim(2).flatten(1, 3);
            let y: Tensor<2> = norm(fc.forward(pooled));
            assert_eq!(DType::from(precision.dtype()), y.dtype());
            assert_eq!(bn.running_var.value().dtype(), DType::F32);
            let gradients = widened(&y).powi_scalar(3).mean().backward();
            let of_conv = conv.weight.val().grad(&gradients).unwrap();
            let of_fc = fc.weight.val().grad(&gradients).unwrap();
            assert_eq!([of_conv.dtype(), of_fc.dtype()], [DType::F32; 2]);
            [values(map), values(bn.running_var.value()), values(of_fc)]
        };
        let wide = run(Precision::F32);
        for precision in narrow_types() {
            let (here, tolerance) = (
                run(precision),
                match precision {
                    Precision::Bf16 => 0.03,
                    _ => 0.004,
                },
            );
            for (found, expected) in here.iter().zip(&wide) {
                near(found, expected, tolerance);
            }
        }
    }

    /// The squares of 300 are beyond float16.
    #[test]
    fn statistics_do_not_overflow() {
        let device = device();
        for precision in narrow_types() {
            let layer = BatchNorm2d::new(1, &Init::new(0, &device)).with_momentum(1.0);
            let x = Tensor::<1>::from_floats([-300.0, 300.0, -300.0, 300.0], &device);
            let y = layer.forward(precision.cast(x.reshape([2, 1, 1, 2])));
            near(&values(y), &[-1.0, 1.0, -1.0, 1.0], 1e-3);
            let variance = values(layer.running_var.value());
            near(&variance, &[120_000.0], 0.01);
            let x = precision.cast(Tensor::full([1, 1, 1, 2], 300.0, &device.clone().inner()));
            near(&values(layer.valid().forward(x)), &[0.866; 2], 1e-2);
        }
    }

    #[test]
    fn in_float32_a_parameter_is_used_as_it_is() {
        let weight = Tensor::<1>::ones([2], &device()).require_grad();
        assert!(like(weight.clone(), &weight).is_require_grad());
    }
}
