//! No result depends on the number of threads, bit for bit.

use super::conv::{self, Geometry};
use super::cross_entropy;
use super::elementwise::add_assign;
use super::map::Map;
use super::norm::{self, Affine};
use super::pool::{self, Pooling, Window};
use super::sgd::{Step, update};
use crate::testing::Random;

/// Runs `f` in pools of 1, 2 and 3 threads and compares the bits it returns.
#[track_caller]
fn assert_same(what: &str, f: impl Fn() -> Vec<f32> + Sync) {
    let run = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let values = pool.build().expect("threads").install(&f);
        values.iter().map(|v| v.to_bits()).collect()
    };
    let one = run(1);
    assert!(!one.is_empty(), "{what}: nothing was computed");
    for threads in [2, 3] {
        assert!(one == run(threads), "{what}: {threads} threads differ");
    }
}

#[test]
fn convolution() {
    // Output channels, input channels of a group, kernel, stride, groups, images, height, width.
    for [c_out, c_in, kernel, stride, groups, n, h, w] in [
        [40, 24, 3, 1, 1, 5, 9, 11],
        [32, 16, 3, 2, 1, 1, 16, 16],
        [64, 200, 3, 1, 1, 2, 4, 4],
        [64, 96, 3, 1, 1, 5, 11, 9],
        [256, 64, 3, 1, 1, 1, 5, 5],
        [70, 33, 1, 1, 1, 3, 7, 7],
        [16, 3, 7, 2, 1, 2, 31, 29],
        [30, 10, 3, 1, 3, 2, 9, 9],
        [37, 1, 3, 2, 37, 19, 9, 9],
        [37, 1, 7, 1, 37, 1, 15, 15],
        [1, 1, 3, 1, 1, 1, 40, 40],
    ] {
        let geometry = Geometry {
            weight: [c_out, c_in, kernel, kernel],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups,
        };
        let input = [n, c_in * groups, h, w];
        assert_same(&format!("{geometry:?} on {input:?}"), || {
            let random = &mut Random::new(4);
            let output = geometry.output(input);
            let x = random.values(input.iter().product());
            let dy = random.values(output.iter().product());
            let weight = random.values(geometry.weight.iter().product());
            let bias = random.values(c_out);
            let (x, dy) = (
                Map::channels_last(&x, input),
                Map::channels_last(&dy, output),
            );
            let mut y = vec![0.0; output.iter().product()];
            let mut dx = vec![0.0; input.iter().product()];
            let mut dw = vec![0.0; weight.len()];
            conv::forward(&geometry, x, &weight, Some(&bias), &mut y);
            for accumulate in [false, true] {
                conv::input_gradient(&geometry, input, dy, &weight, accumulate, &mut dx);
            }
            conv::weight_gradient(&geometry, x, dy, &mut dw);
            [y, dx, dw].concat()
        });
    }
}

#[test]
fn normalisation() {
    for [rows, channels] in [[5000, 1], [1023, 16], [3000, 37]] {
        assert_same(&format!("{rows} x {channels}"), || {
            let random = &mut Random::new(11);
            let len = rows * channels;
            let (x, dy, y) = (random.values(len), random.values(len), random.values(len));
            let affine = Affine {
                mean: random.values(channels),
                scale: random.values(channels),
                shift: random.values(channels),
            };
            let gain = random.values(channels);
            let statistics = norm::statistics(&x, channels);
            let sums = norm::gradient_sums(&x, &dy, Some(&y), &affine.mean);
            let halves = |sums: Vec<f64>| {
                let bits = sums.into_iter().map(f64::to_bits);
                bits.flat_map(|b| [f32::from_bits((b >> 32) as u32), f32::from_bits(b as u32)])
                    .collect::<Vec<_>>()
            };
            let (mut out, mut dx, mut kept) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
            norm::apply(&x, &affine, Some(&y), true, &mut out);
            let gated = Some(&mut kept[..]);
            norm::input_gradient(&x, &dy, Some(&y), &affine, &gain, &mut dx, gated);
            [
                statistics.mean,
                statistics.variance,
                halves(sums.gradient),
                halves(sums.product),
                halves(norm::column_sums(&x, channels)),
                out,
                dx,
                kept,
            ]
            .concat()
        });
    }
}

#[test]
fn pooling() {
    let window = Window {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
    };
    for pooling in [Pooling::Average, Pooling::Maximum] {
        assert_same(&format!("{pooling:?}"), || {
            let random = &mut Random::new(12);
            let shape = [5, 19, 9, 7];
            let x = random.values(shape.iter().product());
            let dy = random.values(window.output(shape).iter().product());
            let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
            pool::forward(pooling, window, shape, &x, &mut y);
            pool::backward(pooling, window, shape, [&x, &y, &dy], &mut dx);
            [y, dx].concat()
        });
    }
}

#[test]
fn cross_entropy_of_rows() {
    assert_same("cross-entropy", || {
        let random = &mut Random::new(13);
        let (rows, classes) = (333, 11);
        let logits = random.values(rows * classes);
        let dloss = random.values(rows);
        let targets: Vec<i64> = (0..rows as i64).map(|i| i % 12 - 1).collect();
        let (mut softmax, mut loss) = (vec![0.0; logits.len()], vec![0.0; rows]);
        cross_entropy::forward(&logits, &targets, &mut softmax, &mut loss);
        let mut gradient = vec![0.0; logits.len()];
        cross_entropy::backward(&softmax, &targets, &dloss, &mut gradient);
        [softmax, loss, gradient].concat()
    });
}

#[test]
fn element_passes() {
    assert_same("update and sum", || {
        let random = &mut Random::new(14);
        let len = 100_003;
        let (gradient, mut weight) = (random.values(len), random.values(len));
        let mut velocity = random.values(len);
        let step = Step {
            rate: 0.1,
            momentum: 0.9,
            decay: 5e-4,
            nesterov: true,
        };
        update(step, &gradient, &mut weight, &mut velocity);
        add_assign(&mut velocity, &weight);
        [weight, velocity].concat()
    });
}
