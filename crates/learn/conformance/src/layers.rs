//! Operations of `offramp-kernels`, with their gradients.

use burn::tensor::Tensor;
use offramp_kernels::{
    Activation, Conv2dOptions, activation, add, avg_pool2d, batch_norm_eval, batch_norm_train,
    concat, conv2d, global_avg_pool, linear, max_pool2d, scale_gradient, softmax_cross_entropy,
};

use crate::place::values;
use crate::{Check, Numbers, Place};

const TOLERANCE: f64 = 5e-6;

/// The result of a function of maps and its gradients.
fn check<const N: usize>(
    name: impl Into<String>,
    shapes: [[usize; 4]; N],
    f: impl Fn([Tensor<4>; N]) -> Tensor<4> + Send + Sync + 'static,
) -> Check {
    Check::new(name, TOLERANCE, move |place| numbers(place, shapes, &f))
}

fn numbers<const N: usize>(
    place: &Place,
    shapes: [[usize; 4]; N],
    f: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> Numbers {
    let leaves: [Tensor<4>; N] = std::array::from_fn(|i| place.leaf(i, shapes[i]));
    let output = f(leaves.clone());
    let gradients = place.probe(output.clone(), N).backward();
    let mut numbers = vec![("output".to_owned(), values(output))];
    for (i, leaf) in leaves.into_iter().enumerate() {
        let gradient = leaf.grad(&gradients).map(values).unwrap_or_default();
        numbers.push((format!("gradient {i}"), gradient));
    }
    numbers
}

fn vector(x: Tensor<4>) -> Tensor<1> {
    x.reshape([-1])
}

pub(crate) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    convolutions(&mut checks);
    batch_norms(&mut checks);
    maps(&mut checks);
    checks.push(check(
        "layers/linear",
        [[7, 5, 1, 1], [3, 5, 1, 1], [3, 1, 1, 1]],
        |[x, w, b]| {
            let y = linear(x.reshape([7, 5]), w.reshape([3, 5]), Some(vector(b)));
            y.reshape([7, 3, 1, 1])
        },
    ));
    checks.push(Check::new(
        "layers/softmax-cross-entropy",
        TOLERANCE,
        |place| {
            numbers(place, [[5, 4, 1, 1]], |[x]| {
                let labels = place.labels(&[3, -1, 0, 2, 2]);
                softmax_cross_entropy(x.reshape([5, 4]) * 3.0, labels).reshape([5, 1, 1, 1])
            })
        },
    ));
    checks
}

fn convolutions(checks: &mut Vec<Check>) {
    for (name, kernel, stride, dilation, groups) in [
        ("3x3", 3, 1, 1, 1),
        ("3x3-stride-2", 3, 2, 1, 1),
        ("1x1", 1, 1, 1, 1),
        ("1x1-stride-2", 1, 2, 1, 1),
        ("3x3-dilated", 3, 1, 2, 1),
        ("grouped", 3, 1, 1, 3),
        ("depthwise", 3, 2, 1, 6),
    ] {
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [dilation; 2],
            groups,
        };
        checks.push(check(
            format!("layers/conv2d-{name}"),
            [
                [2, 6, 9, 8],
                [12, 6 / groups, kernel, kernel],
                [12, 1, 1, 1],
            ],
            move |[x, w, b]| conv2d(x, w, Some(vector(b)), options),
        ));
    }
}

fn batch_norms(checks: &mut Vec<Check>) {
    const SHAPES: [[usize; 4]; 4] = [[3, 5, 4, 7], [5, 1, 1, 1], [5, 1, 1, 1], [3, 5, 4, 7]];
    for (name, residual, relu) in [
        ("", false, false),
        ("-relu", false, true),
        ("-add", true, false),
        ("-add-relu", true, true),
    ] {
        checks.push(check(
            format!("layers/batch-norm-train{name}"),
            SHAPES,
            move |[x, gamma, beta, r]| {
                let zero = r.clone() * 0.0;
                let r = residual.then_some(r);
                let y = batch_norm_train(x, vector(gamma), vector(beta), 1e-5, r, relu);
                // The statistics belong to the result as well; they carry no gradient.
                let [mean, variance] = [y.mean, y.variance].map(Tensor::detach);
                y.output + (mean + variance).reshape([1, 5, 1, 1]) + zero
            },
        ));
        checks.push(check(
            format!("layers/batch-norm-eval{name}"),
            SHAPES,
            move |[x, gamma, beta, r]| {
                let zero = r.clone() * 0.0;
                let r = residual.then_some(r);
                let (mean, variance) = (vector(beta.clone()), vector(gamma.clone()).square() + 0.5);
                let (gamma, beta) = (vector(gamma), vector(beta));
                let (mean, variance) = (mean.detach(), variance.detach());
                batch_norm_eval(x, gamma, beta, mean, variance, 1e-5, r, relu) + zero
            },
        ));
    }
}

fn maps(checks: &mut Vec<Check>) {
    const MAP: [usize; 4] = [2, 6, 8, 8];
    checks.push(check("layers/global-avg-pool", [MAP], |[x]| {
        global_avg_pool(x).reshape([2, 6, 1, 1])
    }));
    checks.push(check("layers/avg-pool2d", [MAP], |[x]| {
        avg_pool2d(x, [2, 2], [2, 2])
    }));
    checks.push(check("layers/max-pool2d", [MAP], |[x]| {
        max_pool2d(x, [3, 3], [2, 2], [1, 1])
    }));
    for kind in [
        Activation::Relu,
        Activation::Relu6,
        Activation::HardSigmoid,
        Activation::HardSwish,
    ] {
        let name = format!("layers/{kind:?}").to_lowercase();
        checks.push(check(name, [MAP], move |[x]| activation(x * 5.0, kind)));
    }
    checks.push(check("layers/add", [MAP, MAP], |[a, b]| add(a, b)));
    checks.push(check("layers/concat", [MAP, [2, 3, 8, 8]], |[a, b]| {
        concat(a, b)
    }));
    checks.push(check("layers/scale-gradient", [MAP], |[x]| {
        scale_gradient(x, 0.25)
    }));
}
