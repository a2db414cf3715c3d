//! The convolution passes against their scalar twins.

use super::{Geometry, forward, input_gradient, reference, weight_gradient};
use crate::cpu::map::{Map, channels_last_strides};
use crate::cpu::testing::{Random, assert_close};

/// Largest error relative to the largest value of the twin.
const TOLERANCE: f64 = 2e-6;

fn check(geometry: Geometry, input: [usize; 4], planar: bool, random: &mut Random) {
    let output = geometry.output(input);
    let strides = |shape: [usize; 4]| {
        let [_, c, h, w] = shape;
        if planar {
            [c * h * w, h * w, w, 1]
        } else {
            channels_last_strides(shape)
        }
    };
    let what = format!("{geometry:?} on {input:?}, planar {planar}");
    let x = random.values(input.iter().product());
    let dy = random.values(output.iter().product());
    let weight = random.values(geometry.weight.iter().product());
    let bias = random.values(output[1]);
    let x = Map::new(&x, input, strides(input));
    let dy = Map::new(&dy, output, strides(output));

    // Outputs start as NaN: a value that is not written shows.
    let mut y = vec![f32::NAN; output.iter().product()];
    forward(&geometry, x, &weight, Some(&bias), &mut y);
    let twin = reference::forward(&geometry, x, &weight, Some(&bias));
    assert_close(&y, &twin, TOLERANCE, &format!("forward of {what}"));

    let mut dx = vec![f32::NAN; input.iter().product()];
    input_gradient(&geometry, input, dy, &weight, false, &mut dx);
    let twin = reference::input_gradient(&geometry, input, dy, &weight);
    assert_close(&dx, &twin, TOLERANCE, &format!("input gradient of {what}"));
    input_gradient(&geometry, input, dy, &weight, true, &mut dx);
    let twice: Vec<f64> = twin.iter().map(|v| 2.0 * v).collect();
    assert_close(
        &dx,
        &twice,
        TOLERANCE,
        &format!("input gradient twice of {what}"),
    );

    let mut dw = vec![f32::NAN; weight.len()];
    weight_gradient(&geometry, x, dy, &mut dw);
    let twin = reference::weight_gradient(&geometry, x, dy);
    assert_close(&dw, &twin, TOLERANCE, &format!("weight gradient of {what}"));
}

fn square(c_out: usize, c_in: usize, k: usize, stride: usize, padding: usize) -> Geometry {
    Geometry {
        weight: [c_out, c_in, k, k],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

#[test]
fn shapes_of_residual_networks() {
    let random = &mut Random::new(1);
    for (geometry, input) in [
        (square(16, 3, 3, 1, 1), [3, 3, 32, 32]),
        (square(16, 16, 3, 1, 1), [2, 16, 32, 32]),
        (square(32, 16, 3, 2, 1), [2, 16, 32, 32]),
        (square(32, 16, 1, 2, 0), [2, 16, 32, 32]),
        (square(64, 64, 3, 1, 1), [3, 64, 8, 8]),
        (square(128, 64, 3, 2, 1), [1, 64, 8, 8]),
        (square(64, 160, 3, 1, 1), [9, 160, 4, 4]),
        (square(16, 3, 7, 2, 3), [1, 3, 30, 30]),
    ] {
        check(geometry, input, false, random);
        check(geometry, input, true, random);
    }
}

/// What [`super::winograd`] takes, with odd sizes, every padding, a rest of tiles and one image.
#[test]
fn winograd_geometries() {
    let random = &mut Random::new(5);
    for (geometry, input) in [
        (square(64, 32, 3, 1, 1), [2, 32, 16, 16]),
        (square(32, 48, 3, 1, 1), [3, 48, 13, 11]),
        (square(64, 64, 3, 1, 0), [2, 64, 17, 16]),
        (square(48, 80, 3, 1, 2), [2, 80, 15, 14]),
        (square(160, 64, 3, 1, 1), [1, 64, 21, 20]),
        (square(128, 256, 3, 1, 1), [33, 256, 4, 4]),
    ] {
        let x = vec![0.0; input.iter().product()];
        let map = Map::channels_last(&x, input);
        let correlation = geometry.forward(input);
        assert!(super::winograd::suits(
            &correlation,
            map,
            geometry.weight[0]
        ));
        check(geometry, input, false, random);
        check(geometry, input, true, random);
    }
}

#[test]
fn random_geometries() {
    let random = &mut Random::new(2);
    for round in 0..200 {
        let groups = if round % 3 == 0 {
            random.within(1, 4)
        } else {
            1
        };
        let kernel = [random.within(1, 5), random.within(1, 5)];
        let dilation = [random.within(1, 2), random.within(1, 2)];
        let geometry = Geometry {
            weight: [
                groups * random.within(1, 40),
                random.within(1, 40),
                kernel[0],
                kernel[1],
            ],
            stride: [random.within(1, 3), random.within(1, 3)],
            padding: [random.within(0, 3), random.within(0, 3)],
            dilation,
            groups,
        };
        let size = |axis: usize, random: &mut Random| {
            let span = dilation[axis] * (kernel[axis] - 1) + 1;
            let least = span.saturating_sub(2 * geometry.padding[axis]).max(1);
            random.within(least, least + 12)
        };
        let input = [
            random.within(1, 3),
            geometry.weight[1] * groups,
            size(0, random),
            size(1, random),
        ];
        check(geometry, input, round % 2 == 0, random);
    }
}

#[test]
fn depthwise_geometries() {
    let random = &mut Random::new(3);
    for round in 0..60 {
        let channels = random.within(2, 70);
        let kernel = [random.within(1, 5), random.within(1, 5)];
        let geometry = Geometry {
            weight: [channels, 1, kernel[0], kernel[1]],
            stride: [random.within(1, 3), random.within(1, 3)],
            padding: [random.within(0, 2), random.within(0, 2)],
            dilation: [1, 1],
            groups: channels,
        };
        let input = [
            random.within(1, 3),
            channels,
            random.within(5, 14),
            random.within(5, 14),
        ];
        check(geometry, input, round % 2 == 0, random);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            let random = &mut Random::new(4);
            let mut all = Vec::new();
            for (geometry, input) in [
                (square(40, 24, 3, 1, 1), [5, 24, 9, 11]),
                (square(32, 16, 3, 2, 1), [1, 16, 16, 16]),
                (square(64, 200, 3, 1, 1), [2, 200, 4, 4]),
                (square(64, 96, 3, 1, 1), [5, 96, 11, 9]),
            ] {
                let output = geometry.output(input);
                let x = random.values(input.iter().product());
                let dy = random.values(output.iter().product());
                let weight = random.values(geometry.weight.iter().product());
                let x = Map::channels_last(&x, input);
                let dy = Map::channels_last(&dy, output);
                let mut y = vec![0.0; output.iter().product()];
                let mut dx = vec![0.0; input.iter().product()];
                let mut dw = vec![0.0; weight.len()];
                forward(&geometry, x, &weight, None, &mut y);
                input_gradient(&geometry, input, dy, &weight, false, &mut dx);
                weight_gradient(&geometry, x, dy, &mut dw);
                all.extend([y, dx, dw].concat().iter().map(|v| v.to_bits()));
            }
            all
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}
