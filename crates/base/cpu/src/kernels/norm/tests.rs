//! Tests of batch normalisation against the scalar twins.

use super::{Affine, apply, column_sums, gradient_sums, input_gradient, reference, statistics};
use crate::testing::{Random, assert_close};

const TOLERANCE: f64 = 1e-6;

/// Rows and channels: odd sizes, one of each, several chunks, several vectors.
const SHAPES: [[usize; 2]; 8] = [
    [1, 1],
    [7, 3],
    [1, 20],
    [5000, 1],
    [1023, 16],
    [77, 48],
    [600, 37],
    [9, 5000],
];

#[test]
fn statistics_survive_a_large_mean() {
    let random = &mut Random::new(5);
    for [rows, channels] in SHAPES {
        for offset in [0.0, 100.0] {
            let mut x = random.values(rows * channels);
            x.iter_mut().for_each(|v| *v += offset);
            let found = statistics(&x, channels);
            let (mean, variance) = reference::statistics(&x, channels);
            let what = format!("{rows} x {channels} + {offset}");
            assert_close(&found.mean, &mean, TOLERANCE, &what);
            let sums: Vec<f32> = column_sums(&x, channels)
                .iter()
                .map(|&s| s as f32)
                .collect();
            let expected: Vec<f64> = mean.iter().map(|m| m * rows as f64).collect();
            assert_close(&sums, &expected, TOLERANCE, &what);
            // Single-precision inputs near 100 are themselves only 4e-6 apart.
            assert_close(&found.variance, &variance, 1e-5, &what);
        }
    }
}

#[test]
fn sums_and_element_passes() {
    let random = &mut Random::new(6);
    for [rows, channels] in SHAPES {
        let len = rows * channels;
        let (x, dy, y) = (random.values(len), random.values(len), random.values(len));
        let affine = Affine {
            mean: random.values(channels),
            scale: random.values(channels),
            shift: random.values(channels),
        };
        let gain = random.values(channels);
        let what = format!("{rows} x {channels}");
        for gate in [None, Some(&y[..])] {
            let sums = gradient_sums(&x, &dy, gate, &affine.mean);
            let (gradient, product) = reference::gradient_sums(&x, &dy, gate, &affine.mean);
            let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
            assert_close(&single(&sums.gradient), &gradient, 3e-6, &what);
            assert_close(&single(&sums.product), &product, 3e-6, &what);

            let at = |v: &[f32], i: usize| f64::from(v[i % channels]);
            let g = |i: usize| match gate {
                Some(y) if y[i] <= 0.0 => 0.0,
                _ => f64::from(dy[i]),
            };
            let centred = |i: usize| f64::from(x[i]) - at(&affine.mean, i);
            let expected: Vec<f64> = (0..len)
                .map(|i| {
                    centred(i) * at(&affine.scale, i) + at(&gain, i) * g(i) + at(&affine.shift, i)
                })
                .collect();
            let (mut dx, mut kept) = (vec![f32::NAN; len], vec![f32::NAN; len]);
            input_gradient(&x, &dy, gate, &affine, &gain, &mut dx, Some(&mut kept));
            assert_close(&dx, &expected, TOLERANCE, &what);
            let expected: Vec<f64> = (0..len).map(g).collect();
            assert_close(&kept, &expected, 0.0, &what);

            for relu in [false, true] {
                let expected: Vec<f64> = (0..len)
                    .map(|i| {
                        let r = gate.map_or(0.0, |r| f64::from(r[i]));
                        let v = centred(i) * at(&affine.scale, i) + at(&affine.shift, i) + r;
                        if relu { v.max(0.0) } else { v }
                    })
                    .collect();
                let mut out = vec![f32::NAN; len];
                apply(&x, &affine, gate, relu, &mut out);
                assert_close(&out, &expected, TOLERANCE, &what);
            }
        }
    }
}

#[test]
fn a_nan_stays_visible_behind_the_relu() {
    let affine = Affine {
        mean: vec![0.0; 3],
        scale: vec![1.0; 3],
        shift: vec![0.0; 3],
    };
    let mut out = [0.0; 3];
    apply(&[f32::NAN, -1.0, 2.0], &affine, None, true, &mut out);
    assert!(out[0].is_nan());
    assert_eq!(out[1..], [0.0, 2.0]);
}
