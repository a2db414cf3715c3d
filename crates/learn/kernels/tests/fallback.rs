//! The operations where no kernel serves them, burn's own in the same calls, against the kernels:
//! in double precision, and on the device that `OFFRAMP_DEVICE` names.
#![cfg(feature = "flex")]

mod support;

use burn::tensor::{DType, Device, Int, Tensor};
use offramp_core::default_device;
use offramp_kernels::{
    Activation, Conv2dOptions, SgdOptions, activation, add, avg_pool2d, batch_norm_eval,
    batch_norm_train, concat, conv2d, global_avg_pool, linear, max_pool2d, scale_gradient,
    sgd_step, softmax_cross_entropy,
};
use support::{as_vector, assert_close, random, run, run_on};

/// Where the fallback runs.
fn places() -> [(Device, DType); 2] {
    let named = default_device().expect("OFFRAMP_DEVICE names a device of this build");
    [(Device::flex(), DType::F64), (named, DType::F32)]
}

#[track_caller]
fn compare<const N: usize>(
    what: &str,
    inputs: [Tensor<4>; N],
    f: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) {
    let (kernel, gradients) = run(&inputs, &f);
    for (device, dtype) in places() {
        let (y, gradients2) = run_on(&inputs, &device, dtype, &f);
        let what = format!("{what} on {device:?} in {dtype:?}");
        let here = |x: &Tensor<4>| Tensor::from_data(x.to_data(), (&Device::flex(), DType::F32));
        assert_close(&what, &kernel, &here(&y));
        for (i, (a, b)) in gradients.iter().zip(&gradients2).enumerate() {
            assert_close(&format!("gradient {i} of {what}"), a, &here(b));
        }
    }
}

fn input<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    random(shape, &Device::flex())
}

#[test]
fn convolution() {
    for (groups, stride) in [(1, 1), (3, 2), (6, 1)] {
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [1, 2],
            dilation: [1, 2],
            groups,
        };
        let inputs = [
            input([2, 6, 9, 8]),
            input([12, 6 / groups, 3, 3]),
            input([12, 1, 1, 1]),
        ];
        compare(&format!("{options:?}"), inputs, |[x, w, b]| {
            conv2d(x, w, Some(as_vector(b)), options)
        });
    }
}

#[test]
fn batch_norm() {
    for (relu, residual) in [(false, false), (true, false), (false, true), (true, true)] {
        let inputs = [
            input([3, 5, 4, 7]),
            input([5, 1, 1, 1]),
            input([5, 1, 1, 1]),
        ];
        compare("training", inputs.clone(), |[x, g, b]| {
            let r = residual.then(|| x.clone().flip([2]));
            let result = batch_norm_train(x, as_vector(g), as_vector(b), 1e-3, r, relu);
            // The statistics belong to the result as well; they carry no gradient.
            let [mean, variance] = [result.mean, result.variance].map(Tensor::detach);
            result.output + (mean + variance * 2.0).reshape([1, 5, 1, 1])
        });
        compare("evaluation", inputs, |[x, g, b]| {
            let r = residual.then(|| x.clone().flip([2]));
            let (mean, variance) = (as_vector(b.clone()), as_vector(b.clone()).powi_scalar(2));
            let (g, b) = (as_vector(g), as_vector(b));
            batch_norm_eval(x, g, b, mean, variance + 0.5, 1e-3, r, relu)
        });
    }
}

#[test]
fn pooling() {
    let x = || [input([2, 5, 9, 8])];
    compare("average", x(), |[x]| avg_pool2d(x, [3, 2], [2, 2]));
    compare("maximum", x(), |[x]| max_pool2d(x, [3, 3], [2, 2], [1, 1]));
    compare("global average", x(), |[x]| {
        global_avg_pool(x).reshape([2, 5, 1, 1])
    });
}

const ACTIVATIONS: [Activation; 4] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSigmoid,
    Activation::HardSwish,
];

#[test]
fn activations() {
    for kind in ACTIVATIONS {
        compare(&format!("{kind:?}"), [input([2, 5, 3, 4])], |[x]| {
            activation(x * 5.0, kind)
        });
    }
}

/// Each map is read twice.
#[test]
fn sums_and_joined_maps() {
    let inputs = || [input([2, 5, 3, 4]), input([2, 5, 3, 4])];
    compare("a sum", inputs(), |[a, b]| {
        add(add(a.clone(), b.clone()), b)
    });
    compare("joined maps", inputs(), |[a, b]| {
        concat(concat(a.clone(), b.clone()), a * 3.0)
    });
}

/// The map is read three times, by operations of either kind.
#[test]
fn scaled_gradients() {
    compare("a scaled gradient", [input([2, 5, 6, 4])], |[x]| {
        let pooled = avg_pool2d(scale_gradient(x.clone(), 0.25), [2, 2], [2, 2]);
        let twice = scale_gradient(scale_gradient(x.clone(), 0.5), 1.0 / 3.0);
        pooled + twice.slice([0..2, 0..5, 0..3, 0..2]) * 2.0 + x.slice([0..2, 0..5, 1..4, 1..3])
    });
}

/// To the last bit, where the zeros have signs.
#[test]
fn a_scaled_gradient_leaves_the_values() {
    let odd = [
        -0.0f32,
        0.0,
        1e-45,
        f32::MIN_POSITIVE,
        f32::MAX,
        -0.1,
        1e4,
        3.0,
    ];
    for (device, dtype) in places() {
        for factor in [0.0, 1.0 / 3.0, 1.0] {
            let x = Tensor::<1>::from_data(odd.as_slice(), (&device.clone().autodiff(), dtype));
            let x = x.reshape([1, 2, 2, 2]).require_grad();
            let y = scale_gradient(x.clone(), factor);
            let bits = |t: &Tensor<4>| -> Vec<u64> {
                let values = t.to_data().iter::<f64>().collect::<Vec<_>>();
                values.into_iter().map(f64::to_bits).collect()
            };
            assert_eq!(bits(&x), bits(&y), "{device:?} {dtype:?} {factor}");
        }
    }
}

#[test]
fn linear_layer() {
    let inputs = [
        input([9, 20, 1, 1]),
        input([7, 20, 1, 1]),
        input([7, 1, 1, 1]),
    ];
    compare("linear", inputs, |[x, w, b]| {
        let y = linear(x.reshape([9, 20]), w.reshape([7, 20]), Some(as_vector(b)));
        y.reshape([9, 7, 1, 1])
    });
}

#[test]
fn cross_entropy_with_unlabelled_rows() {
    compare("cross-entropy", [input([6, 4, 1, 1]) * 3.0], |[x]| {
        let targets = Tensor::<1, Int>::from_ints([0, 3, -1, 1, -1, 2], &x.device());
        softmax_cross_entropy(x.reshape([6, 4]), targets).reshape([6, 1, 1, 1])
    });
}

#[test]
fn updates() {
    for (nesterov, momentum) in [(false, 0.9), (true, 0.9), (false, 0.0)] {
        let options = SgdOptions {
            learning_rate: 0.1,
            momentum,
            weight_decay: 0.01,
            nesterov,
        };
        let start = [input([3, 7, 11]), input([3, 7, 11])];
        let updated = |device: &Device, dtype: DType| {
            let [mut w, g] = start
                .each_ref()
                .map(|t| Tensor::<3>::from_data(t.to_data(), (device, dtype)));
            let mut v = None;
            for _ in 0..3 {
                let (weight, velocity) = sgd_step(w, g.clone(), v, options);
                (w, v) = (weight, Some(velocity));
            }
            [w, v.expect("a velocity")]
                .map(|t| Tensor::<3>::from_data(t.to_data(), (&Device::flex(), DType::F32)))
        };
        let kernel = updated(&Device::flex(), DType::F32);
        for (device, dtype) in places() {
            let other = updated(&device, dtype);
            assert_close("weight", &kernel[0], &other[0]);
            assert_close("velocity", &kernel[1], &other[1]);
        }
    }
}
