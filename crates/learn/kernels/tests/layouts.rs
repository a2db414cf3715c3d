//! Tensors that do not lie as a kernel writes them, against burn's own operations.
#![cfg(feature = "flex")]

mod support;

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor};
use offramp_kernels::{
    Conv2dOptions, batch_norm_eval, batch_norm_train, conv2d, global_avg_pool, linear, max_pool2d,
    softmax_cross_entropy,
};
use support::{as_vector, assert_close, random, run, values};

type View = fn(Tensor<4>) -> Tensor<4>;

/// Views of a `[2, 7, 9, 8]` tensor, with 6 channels each.
const VIEWS: [(&str, View); 5] = [
    ("slice", |x| x.slice([0..2, 1..7, 2..9, 0..7])),
    ("transposed", |x| {
        x.slice([0..2, 0..6, 0..9, 0..8]).swap_dims(2, 3)
    }),
    ("backwards", |x| {
        x.flip([1, 3]).slice([0..2, 1..7, 0..9, 0..8])
    }),
    ("one image expanded", |x| {
        x.slice([1..2, 0..6, 0..9, 0..8]).expand([3, 6, 9, 8])
    }),
    ("one channel expanded", |x| {
        x.slice([0..2, 3..4, 0..9, 0..8]).expand([2, 6, 9, 8])
    }),
];

/// Compares `ours` with `theirs` on every view of the first input; the output is permuted, so that
/// its gradient does not lie in order either.
#[track_caller]
fn compare<const N: usize>(
    what: &str,
    inputs: &[Tensor<4>; N],
    ours: impl Fn([Tensor<4>; N]) -> Tensor<4>,
    theirs: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) {
    compare_views(&VIEWS, what, inputs, ours, theirs);
}

#[track_caller]
fn compare_views<const N: usize>(
    views: &[(&str, View)],
    what: &str,
    inputs: &[Tensor<4>; N],
    ours: impl Fn([Tensor<4>; N]) -> Tensor<4>,
    theirs: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) {
    for &(name, view) in views {
        let seen = |mut inputs: [Tensor<4>; N]| {
            inputs[0] = view(inputs[0].clone());
            inputs
        };
        let (y, gradients) = run(inputs, |inputs| ours(seen(inputs)).permute([3, 0, 2, 1]));
        let (y2, gradients2) = run(inputs, |inputs| theirs(seen(inputs)).permute([3, 0, 2, 1]));
        assert_close(&format!("{what} of {name}"), &y, &y2);
        for (i, (a, b)) in gradients.iter().zip(&gradients2).enumerate() {
            assert_close(&format!("gradient {i} of {what} of {name}"), a, b);
        }
    }
}

#[test]
fn convolution() {
    let device = Device::flex();
    // Output channels, input channels of a group, kernel, stride, groups; the weight is a
    // transpose of what is given.
    for [c_out, c_in, k, stride, groups] in [
        [5, 6, 3, 1, 1],
        [5, 6, 1, 2, 1],
        [4, 3, 3, 2, 2],
        [6, 1, 3, 1, 6],
    ] {
        let inputs = [
            random([2, 7, 9, 8], &device),
            random([c_in, c_out, k, k], &device),
        ];
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [k / 2; 2],
            groups,
            ..Conv2dOptions::default()
        };
        let theirs = ConvOptions::new([stride; 2], [k / 2; 2], [1, 1], groups);
        compare(
            &format!("{options:?}"),
            &inputs,
            |[x, w]| conv2d(x, w.swap_dims(0, 1), None, options),
            |[x, w]| module::conv2d(x, w.swap_dims(0, 1), None, theirs.clone()),
        );
    }
}

#[test]
fn batch_norm() {
    let device = Device::flex();
    let inputs = [
        random([2, 7, 9, 8], &device),
        random([6, 1, 1, 1], &device),
        random([6, 1, 1, 1], &device),
    ];
    compare(
        "batch norm",
        &inputs,
        |[x, g, b]| {
            let residual = x.clone().flip([2]);
            batch_norm_train(x, as_vector(g), as_vector(b), 1e-5, Some(residual), true).output
        },
        |[x, g, b]| {
            let axes = [0, 2, 3];
            let d = x.clone() - x.clone().mean_dims(&axes);
            let variance = d.clone().powi_scalar(2).mean_dims(&axes);
            let at = |v: Tensor<4>| v.reshape([1, 6, 1, 1]);
            relu(d / (variance + 1e-5).sqrt() * at(g) + at(b) + x.flip([2]))
        },
    );
    let x = VIEWS[0].1(inputs[0].clone());
    let [g, b] = [1, 2].map(|i| as_vector(inputs[i].clone()));
    let (m, v) = (b.clone().flip([0]), g.clone().powi_scalar(2) + 0.1);
    let ours = batch_norm_eval(
        x.clone(),
        g.clone(),
        b.clone(),
        m.clone(),
        v.clone(),
        1e-3,
        None,
        false,
    );
    assert_close(
        "evaluation",
        &ours,
        &module::batch_norm(x, g, b, m, v, 1e-3),
    );
}

#[test]
fn pooling() {
    let inputs = [random([2, 7, 9, 8], &Device::flex())];
    let options = MaxPoolOptions::new([3, 3])
        .with_stride([2, 2])
        .with_padding([1, 1]);
    compare(
        "maximum",
        &inputs,
        |[x]| max_pool2d(x, [3, 3], [2, 2], [1, 1]),
        |[x]| module::max_pool2d(x, options.clone()),
    );
    compare(
        "global average",
        &inputs,
        |[x]| {
            let [n, c, _, _] = x.dims();
            global_avg_pool(x).reshape([n, c, 1, 1])
        },
        |[x]| x.mean_dims(&[2, 3]),
    );
}

#[test]
fn rows_of_a_linear_layer_and_of_a_loss() {
    let device = Device::flex();
    let inputs = [
        random([2, 7, 9, 8], &device),
        random([1, 1, 10, 6], &device),
    ];
    // `[N H, C]` rows whose channels lie apart.
    let rows = |x: Tensor<4>| x.permute([0, 2, 3, 1]).narrow(2, 0, 1).reshape([-1, 6]);
    let weight = |w: Tensor<4>| w.reshape([10, 6]);
    let wrap = |y: Tensor<2>| {
        let [n, c] = y.dims();
        y.reshape([n, c, 1, 1])
    };
    compare(
        "linear",
        &inputs,
        |[x, w]| wrap(linear(rows(x), weight(w), None)),
        |[x, w]| wrap(rows(x).matmul(weight(w).transpose())),
    );
    let targets = |x: &Tensor<2>| {
        let labels: Vec<i64> = (0..x.dims()[0] as i64).map(|i| i % 6).collect();
        Tensor::<1, Int>::from_data(labels.as_slice(), &x.device())
    };
    // Equal logits are left out: their gradients add up to nothing, of which no error is a part.
    compare_views(
        &VIEWS[..4],
        "cross-entropy",
        &[inputs[0].clone()],
        |[x]| {
            let x = rows(x);
            let targets = targets(&x);
            wrap(softmax_cross_entropy(x, targets).unsqueeze_dim(1))
        },
        |[x]| {
            let x = rows(x);
            let n = x.dims()[0];
            let index = targets(&x).reshape([n, 1]);
            wrap(-log_softmax(x, 1).gather(1, index))
        },
    );
}

/// A block with a map that several kernels and an operation of burn read: the sum of its gradients
/// is the same, bit for bit, at every repetition, for every number of threads and beside other
/// backward passes.
#[test]
fn repetitions_and_threads_change_no_bit() {
    let device = Device::flex();
    let inputs = [
        random([5, 16, 9, 7], &device),
        random([16, 16, 3, 3], &device),
        random([16, 1, 1, 1], &device),
    ];
    let options = Conv2dOptions {
        padding: [1, 1],
        ..Conv2dOptions::default()
    };
    let step = || {
        let (y, gradients) = run(&inputs, |[x, w, g]| {
            let (gamma, beta) = (as_vector(g.clone()), as_vector(g) * 0.1);
            let map = x.tanh() * 0.5;
            let a = conv2d(map.clone(), w.clone(), None, options);
            let b = conv2d(map.clone(), w, None, options);
            batch_norm_train(a, gamma, beta, 1e-5, Some(map), true).output + b
        });
        let bits = |t: &Tensor<4>| values(t).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        [bits(&y), gradients.iter().flat_map(bits).collect()].concat()
    };
    let first = step();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let again = pool.expect("threads").install(step);
        assert!(first == again, "{threads} threads differ");
    }
    std::thread::scope(|scope| {
        let passes: Vec<_> = (0..3).map(|_| scope.spawn(step)).collect();
        for pass in passes {
            assert!(
                first == pass.join().expect("a pass"),
                "passes side by side differ"
            );
        }
    });
}
