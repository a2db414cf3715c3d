//! The operations on `flex`, forward and backward, against burn's own operations.
#![cfg(feature = "flex")]

mod support;

use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor};
use offramp_kernels::{
    Activation, Conv2dOptions, SgdOptions, activation, add, avg_pool2d, batch_norm_eval,
    batch_norm_train, concat, conv2d, global_avg_pool, linear, max_pool2d, scale_gradient,
    sgd_step, softmax_cross_entropy,
};
use support::{as_vector, assert_close, random, run, values};

/// `d(s x) / dx` by burn's own multiplication; a scaled map goes on, and is read beside it.
#[test]
fn scaled_gradient() {
    for factor in [0.0, 0.25, 2.0 / 3.0] {
        let x = random([2, 3, 5, 4], &Device::flex());
        let (y, [gradient]) = run(std::array::from_ref(&x), |[x]| {
            relu(scale_gradient(x.clone(), factor)) + scale_gradient(x.clone(), 0.5) + x
        });
        let (_, [theirs]) = run(&[x], |[x]| {
            let scaled = |by: f64| x.clone() * by + x.clone().detach() * (1.0 - by);
            relu(scaled(factor)) + scaled(0.5) + x.clone()
        });
        assert_close("gradient", &gradient, &theirs);
        let (plain, _) = run(std::array::from_ref(&y), |[y]| scale_gradient(y, factor));
        assert_eq!(values(&plain), values(&y), "bit for bit");
    }
}

/// Where there is nothing to scale, the tensor itself comes back.
#[test]
fn without_gradients_nothing_is_recorded() {
    let device = Device::flex().autodiff();
    let constant = Tensor::<4>::ones([1, 2, 2, 2], &device);
    assert!(!scale_gradient(constant, 0.5).is_tracked());
    let leaf = Tensor::<4>::ones([1, 2, 2, 2], &device).require_grad();
    assert!(scale_gradient(leaf.clone(), 1.0).is_require_grad());
    assert!(!scale_gradient(leaf, 0.5).is_require_grad());
}

#[test]
fn convolution() {
    let device = Device::flex();
    // c_in, c_out, kernel, stride, padding, dilation, groups, height, width
    for [c_in, c_out, k, stride, padding, dilation, groups, h, w] in [
        [3, 16, 3, 1, 1, 1, 1, 9, 8],
        [16, 32, 3, 2, 1, 1, 1, 8, 8],
        [16, 32, 1, 2, 0, 1, 1, 7, 9],
        [5, 7, 3, 1, 1, 2, 1, 9, 7],
        [3, 8, 7, 2, 3, 1, 1, 15, 14],
        [8, 12, 3, 1, 1, 1, 4, 6, 5],
        [20, 20, 3, 2, 1, 1, 20, 9, 9],
        [64, 64, 3, 1, 1, 1, 1, 4, 4],
        // Computed by Winograd's filtering.
        [64, 48, 3, 1, 1, 1, 1, 15, 14],
        [32, 96, 3, 1, 1, 1, 1, 20, 17],
    ] {
        let x = random([2, c_in, h, w], &device);
        let weight = random([c_out, c_in / groups, k, k], &device);
        let bias = random([c_out, 1, 1, 1], &device);
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [dilation; 2],
            groups,
        };
        let theirs = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], groups);
        let inputs = [x, weight, bias];
        let (y, gradients) = run(&inputs, |[x, w, b]| {
            conv2d(x, w, Some(as_vector(b)), options)
        });
        let (y2, gradients2) = run(&inputs, |[x, w, b]| {
            module::conv2d(x, w, Some(as_vector(b)), theirs.clone())
        });
        assert_close("output", &y, &y2);
        for (name, (a, b)) in ["dx", "dw", "db"]
            .iter()
            .zip(gradients.iter().zip(&gradients2))
        {
            assert_close(&format!("{name} of {options:?}"), a, b);
        }
        // Without gradients and without bias.
        let plain = conv2d(inputs[0].clone(), inputs[1].clone(), None, options);
        let theirs = module::conv2d(inputs[0].clone(), inputs[1].clone(), None, theirs);
        assert_close("inference", &plain, &theirs);
    }
}

/// burn's operations for the same thing.
fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<4>,
    beta: Tensor<4>,
    residual: Option<Tensor<4>>,
    eps: f64,
    act: bool,
) -> Tensor<4> {
    let axes = [0, 2, 3];
    let mean = x.clone().mean_dims(&axes);
    let d = x - mean;
    let variance = d.clone().powi_scalar(2).mean_dims(&axes);
    let channels = gamma.dims()[0];
    let gamma = gamma.reshape([1, channels, 1, 1]);
    let beta = beta.reshape([1, channels, 1, 1]);
    let y = d / (variance + eps).sqrt() * gamma + beta;
    let y = match residual {
        Some(r) => y + r,
        None => y,
    };
    if act { relu(y) } else { y }
}

#[test]
fn batch_norm_in_training() {
    let device = Device::flex();
    for (channels, act) in [(16, true), (16, false), (5, true), (40, true)] {
        let inputs = [
            random([3, channels, 5, 7], &device) * 2.0 + 1.0,
            random([channels, 1, 1, 1], &device),
            random([channels, 1, 1, 1], &device),
            random([3, channels, 5, 7], &device),
        ];
        for residual in [false, true] {
            let (y, gradients) = run(&inputs, |[x, g, b, r]| {
                // Every leaf takes part, so that every leaf has a gradient.
                let rest = r.clone() * 0.5;
                let r = residual.then_some(r);
                batch_norm_train(x, as_vector(g), as_vector(b), 1e-5, r, act).output + rest
            });
            let (y2, gradients2) = run(&inputs, |[x, g, b, r]| {
                let rest = r.clone() * 0.5;
                let r = residual.then_some(r);
                batch_norm(x, g, b, r, 1e-5, act) + rest
            });
            assert_close("output", &y, &y2);
            for (i, (a, b)) in gradients.iter().zip(&gradients2).enumerate() {
                assert_close(
                    &format!("gradient {i}, relu {act}, residual {residual}"),
                    a,
                    b,
                );
            }
        }
    }
}

#[test]
fn batch_norm_in_evaluation() {
    let device = Device::flex();
    let x = random([3, 21, 5, 7], &device);
    let r = random([3, 21, 5, 7], &device);
    let v = |offset: f32| random([21], &device).abs() + offset;
    let (g, b, m, s) = (v(0.0), v(0.0), v(0.0), v(0.1));
    for residual in [None, Some(r)] {
        let at = |t: &Tensor<1>| t.clone().reshape([1, 21, 1, 1]);
        let y = (x.clone() - at(&m)) / (at(&s) + 1e-3).sqrt() * at(&g) + at(&b);
        let y = relu(match &residual {
            Some(r) => y + r.clone(),
            None => y,
        });
        let ours = batch_norm_eval(
            x.clone(),
            g.clone(),
            b.clone(),
            m.clone(),
            s.clone(),
            1e-3,
            residual,
            true,
        );
        assert_close("output", &ours, &y);
    }
}

/// A block as networks have them: the map feeds two convolutions and the residual, the second
/// branch ends in an operation of burn.
#[test]
fn gradients_of_a_map_with_several_readers_add_up() {
    let device = Device::flex();
    let inputs = [
        random([2, 8, 6, 6], &device),
        random([8, 8, 3, 3], &device),
        random([8, 8, 3, 3], &device),
        random([8, 1, 1, 1], &device),
    ];
    let options = Conv2dOptions {
        padding: [1, 1],
        ..Conv2dOptions::default()
    };
    let padded = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let (y, gradients) = run(&inputs, |[x, w1, w2, g]| {
        let beta = as_vector(g.clone()) * 0.1;
        let map = conv2d(x.clone(), w1.clone(), None, options);
        let a = conv2d(map.clone(), w2.clone(), None, options);
        let b = conv2d(map.clone(), w1, None, options);
        let gamma = as_vector(g);
        let a = batch_norm_train(a, gamma, beta, 1e-5, Some(map.clone()), true).output;
        conv2d(a.clone(), w2, None, options) + b * map.tanh() + x + a
    });
    let (y2, gradients2) = run(&inputs, |[x, w1, w2, g]| {
        let beta = g.clone() * 0.1;
        let map = module::conv2d(x.clone(), w1.clone(), None, padded());
        let a = module::conv2d(map.clone(), w2.clone(), None, padded());
        let b = module::conv2d(map.clone(), w1, None, padded());
        let a = batch_norm(a, g, beta, Some(map.clone()), 1e-5, true);
        module::conv2d(a.clone(), w2, None, padded()) + b * map.tanh() + x + a
    });
    assert_close("output", &y, &y2);
    for (i, (a, b)) in gradients.iter().zip(&gradients2).enumerate() {
        assert_close(&format!("gradient {i}"), a, b);
    }
}

/// Both gradients of one operation go to the same node.
#[test]
fn a_map_that_is_its_own_residual() {
    let device = Device::flex();
    let inputs = [
        random([3, 6, 5, 4], &device),
        random([6, 1, 1, 1], &device),
        random([6, 1, 1, 1], &device),
    ];
    for act in [false, true] {
        let (y, gradients) = run(&inputs, |[x, g, b]| {
            let x = x.tanh();
            batch_norm_train(x.clone(), as_vector(g), as_vector(b), 1e-5, Some(x), act).output
        });
        let (y2, gradients2) = run(&inputs, |[x, g, b]| {
            let x = x.tanh();
            batch_norm(x.clone(), g, b, Some(x), 1e-5, act)
        });
        assert_close("output", &y, &y2);
        for (i, (a, b)) in gradients.iter().zip(&gradients2).enumerate() {
            assert_close(&format!("gradient {i}, relu {act}"), a, b);
        }
    }
}

/// What burn's other operations make of a channels-last tensor.
#[test]
fn burn_reads_channels_last_results() {
    let device = Device::flex();
    let options = Conv2dOptions::default();
    let x = random([2, 3, 4, 5], &device);
    let w = random([6, 3, 1, 1], &device);
    let ours = conv2d(x.clone(), w.clone(), None, options);
    let theirs = module::conv2d(x, w, None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
    assert_close("values", &ours, &theirs);
    let (a, b) = (
        ours.clone().reshape([2, 120]),
        theirs.clone().reshape([2, 120]),
    );
    assert_close("reshape", &a, &b);
    let (a, b) = (ours.clone().mean_dim(2), theirs.clone().mean_dim(2));
    assert_close("mean_dim", &a, &b);
    let (a, b) = (
        ours.clone().permute([3, 1, 0, 2]),
        theirs.clone().permute([3, 1, 0, 2]),
    );
    assert_close("permute", &a, &b);
    let (a, b) = (ours.clone().flip([1, 3]), theirs.clone().flip([1, 3]));
    assert_close("flip", &a, &b);
    let pointwise = || random([4, 6, 1, 1], &device);
    let w = pointwise();
    let a = conv2d(ours.clone().flip([1, 3]), w.clone(), None, options);
    let b = conv2d(theirs.clone().flip([1, 3]), w, None, options);
    assert_close("convolution of a flipped map", &a, &b);
    let (a, b) = (
        ours.clone().slice([0..1, 2..5, 1..3, 0..4]),
        theirs.slice([0..1, 2..5, 1..3, 0..4]),
    );
    assert_close("slice", &a, &b);
}

#[test]
fn pooling() {
    let device = Device::flex();
    let inputs = [random([2, 19, 9, 8], &device)];
    let pool = |f: fn(Tensor<4>) -> Tensor<4>, g: fn(Tensor<4>) -> Tensor<4>, what: &str| {
        let (y, [dx]) = run(&inputs, |[x]| f(x));
        let (y2, [dx2]) = run(&inputs, |[x]| g(x));
        assert_close(what, &y, &y2);
        assert_close(what, &dx, &dx2);
    };
    pool(
        |x| avg_pool2d(x, [3, 2], [2, 2]),
        |x| module::avg_pool2d(x, AvgPoolOptions::new([3, 2]).with_stride([2, 2])),
        "average",
    );
    pool(
        |x| max_pool2d(x, [3, 3], [2, 2], [1, 1]),
        |x| {
            let options = MaxPoolOptions::new([3, 3]);
            module::max_pool2d(x, options.with_stride([2, 2]).with_padding([1, 1]))
        },
        "maximum",
    );
    pool(
        |x| global_avg_pool(x).reshape([2, 19, 1, 1]),
        |x| x.mean_dims(&[2, 3]),
        "global average",
    );
}

/// burn's own operations, and numbers beside and on the corners.
#[test]
fn activations_sums_and_joined_maps() {
    let device = Device::flex();
    let inputs = [
        random([2, 19, 9, 8], &device),
        random([2, 19, 9, 8], &device),
    ];
    type Function = fn(Tensor<4>) -> Tensor<4>;
    let theirs: [(Activation, Function); 4] = [
        (Activation::Relu, relu),
        (Activation::Relu6, |x| x.clamp(0.0, 6.0)),
        (Activation::HardSigmoid, |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
        (Activation::HardSwish, |x| {
            x.clone() * ((x + 3.0).clamp(0.0, 6.0) / 6.0)
        }),
    ];
    for (kind, theirs) in theirs {
        let (y, [dx, _]) = run(&inputs, |[x, z]| activation(x * 6.0, kind) + z);
        let (y2, [dx2, _]) = run(&inputs, |[x, z]| theirs(x * 6.0) + z);
        assert_close(&format!("{kind:?}"), &y, &y2);
        assert_close(&format!("gradient of {kind:?}"), &dx, &dx2);
    }
    let (y, gradients) = run(&inputs, |[a, b]| {
        concat(add(a.clone(), b.clone()), concat(b, a))
    });
    let (y2, gradients2) = run(&inputs, |[a, b]| {
        Tensor::cat(vec![a.clone() + b.clone(), b, a], 1)
    });
    assert_close("joined", &y, &y2);
    for (a, b) in gradients.iter().zip(&gradients2) {
        assert_close("gradient of joined", a, b);
    }
}

/// `F.relu6`, `F.hardsigmoid` and `F.hardswish` with their gradients in PyTorch 2.15.
#[test]
fn corners_are_those_of_pytorch() {
    let device = Device::flex().autodiff();
    let x = [-4.0f32, -3.0, 0.0, 3.0, 6.0, 7.0, f32::NAN];
    for (kind, values, gradients) in [
        (
            Activation::Relu6,
            [0.0, 0.0, 0.0, 3.0, 6.0, 6.0],
            [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        ),
        (
            Activation::HardSigmoid,
            [0.0, 0.0, 0.5, 1.0, 1.0, 1.0],
            [0.0, 0.0, 1.0 / 6.0, 0.0, 0.0, 0.0],
        ),
        (
            Activation::HardSwish,
            [0.0, 0.0, 0.0, 3.0, 6.0, 7.0],
            [0.0, 0.0, 0.5, 1.0, 1.0, 1.0],
        ),
    ] {
        let x = Tensor::<1>::from_floats(x, &device).reshape([1, 7, 1, 1]);
        let x = x.require_grad();
        let y = activation(x.clone(), kind);
        let dx = x.grad(&y.clone().sum().backward()).unwrap();
        let [y, dx] = [y.inner(), dx].map(|t| t.into_data().try_to_vec::<f32>().unwrap());
        for i in 0..6 {
            assert!((y[i] - values[i]).abs() < 1e-6, "{kind:?} {y:?}");
            assert!((dx[i] - gradients[i]).abs() < 1e-6, "{kind:?} {dx:?}");
        }
        assert!(y[6].is_nan(), "{kind:?}");
    }
}

#[test]
fn linear_layer() {
    let device = Device::flex();
    let inputs = [
        random([33, 1, 1, 20], &device),
        random([7, 1, 1, 20], &device),
        random([7, 1, 1, 1], &device),
    ];
    let flat = |x: Tensor<4>, columns: usize| x.reshape([-1, columns as i32]);
    let wrap = |y: Tensor<2>| y.reshape([33, 7, 1, 1]);
    let (y, gradients) = run(&inputs, |[x, w, b]| {
        wrap(linear(flat(x, 20), flat(w, 20), Some(as_vector(b))))
    });
    let (y2, gradients2) = run(&inputs, |[x, w, b]| {
        wrap(flat(x, 20).matmul(flat(w, 20).transpose()) + flat(b, 7))
    });
    assert_close("output", &y, &y2);
    for (i, (a, b)) in gradients.iter().zip(&gradients2).enumerate() {
        assert_close(&format!("gradient {i}"), a, b);
    }
    let (x, w) = (flat(inputs[0].clone(), 20), flat(inputs[1].clone(), 20));
    let transposed = w.clone().transpose().reshape([20, 7]).transpose();
    assert_close(
        "strided weight",
        &linear(x.clone(), transposed, None),
        &x.matmul(w.transpose()),
    );
}

#[test]
fn cross_entropy() {
    let device = Device::flex();
    let inputs = [random([9, 5, 1, 1], &device) * 3.0];
    let targets =
        |device: &Device| Tensor::<1, Int>::from_ints([0, 4, -1, 2, 3, 1, -1, 0, 4], device);
    let (y, [dx]) = run(&inputs, |[x]| {
        let targets = targets(&x.device());
        softmax_cross_entropy(x.reshape([9, 5]), targets).reshape([9, 1, 1, 1])
    });
    let (y2, [dx2]) = run(&inputs, |[x]| {
        let targets = targets(&x.device());
        let known = targets.clone().greater_equal_elem(0).float();
        let index = targets.clamp_min(0).reshape([9, 1]);
        let log = burn::tensor::activation::log_softmax(x.reshape([9, 5]), 1);
        (-log.gather(1, index).reshape([9]) * known).reshape([9, 1, 1, 1])
    });
    assert_close("loss", &y, &y2);
    assert_close("gradient", &dx, &dx2);
}

#[test]
fn update_of_stochastic_gradient_descent() {
    let device = Device::flex();
    for nesterov in [false, true] {
        let options = SgdOptions {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov,
        };
        let (start, g): (Tensor<3>, _) = (random([3, 7, 11], &device), random([3, 7, 11], &device));
        let (mut w, mut v) = (start.clone(), None);
        let (mut w2, mut v2) = (start.clone(), Tensor::zeros([3, 7, 11], &device));
        for _ in 0..3 {
            let (new, velocity) = sgd_step(w, g.clone(), v, options);
            (w, v) = (new, Some(velocity));
            let d = g.clone() + w2.clone() * 5e-4;
            v2 = v2 * 0.9 + d.clone();
            let step = if nesterov {
                d + v2.clone() * 0.9
            } else {
                v2.clone()
            };
            w2 = w2 - step * 0.1;
        }
        assert_close("weight", &w, &w2);
        assert_close("velocity", &v.expect("a velocity"), &v2);
        assert!(
            values(&start) != values(&w),
            "the first weight is still held and unchanged"
        );
    }
}
