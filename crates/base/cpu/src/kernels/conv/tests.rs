//! The convolution passes against their scalar twins.

use super::{Geometry, forward, input_gradient, reference, weight_gradient};
use crate::kernels::map::{Map, channels_last_strides};
use crate::testing::{Random, assert_close};

/// Largest error relative to the largest value of the twin.
const TOLERANCE: f64 = 2e-6;

/// How a map lies in memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// `[N, H, W, C]`, what kernels write.
    ChannelsLast,
    /// `[N, C, H, W]`, what burn writes.
    Planar,
    /// `[N, C, W, H]`: a planar map with its axes swapped.
    Transposed,
    /// The inner part of a larger channels-last map: gaps after every row and every position.
    Sliced,
    /// One row of one image, expanded to all rows and images: strides of zero.
    Expanded,
}

const LAYOUTS: [Layout; 5] = [
    Layout::ChannelsLast,
    Layout::Planar,
    Layout::Transposed,
    Layout::Sliced,
    Layout::Expanded,
];

impl Layout {
    fn strides(self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        match self {
            Self::ChannelsLast => channels_last_strides([n, c, h, w]),
            Self::Planar => [c * h * w, h * w, w, 1],
            Self::Transposed => [c * h * w, h * w, 1, h],
            Self::Sliced => channels_last_strides([n, c + 3, h + 1, w + 2]),
            Self::Expanded => [0, 1, 0, c],
        }
    }

    /// Storage that ends with the last value of a map of this shape.
    fn values(self, shape: [usize; 4], random: &mut Random) -> Vec<f32> {
        let places = shape.iter().zip(self.strides(shape));
        random.values(1 + places.map(|(d, s)| (d - 1) * s).sum::<usize>())
    }
}

fn check(geometry: Geometry, input: [usize; 4], layout: Layout, random: &mut Random) {
    let output = geometry.output(input);
    let what = format!("{geometry:?} on {input:?}, {layout:?}");
    let x = layout.values(input, random);
    let dy = layout.values(output, random);
    let weight = random.values(geometry.weight.iter().product());
    let bias = random.values(output[1]);
    let x = Map::new(&x, input, layout.strides(input));
    let dy = Map::new(&dy, output, layout.strides(output));

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
        check(geometry, input, Layout::ChannelsLast, random);
        check(geometry, input, Layout::Planar, random);
    }
}

/// Every kernel size of the networks with every stride and dilation, for each kind of channels:
/// one, dense, in groups, depthwise, depthwise with two filters per channel; odd maps of one image
/// and of several, in every layout.
#[test]
fn every_kind_of_convolution() {
    let random = &mut Random::new(10);
    let mut case = 0;
    for kernel in [1, 3, 7] {
        for (stride, dilation) in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)] {
            // Output channels, input channels of a group, groups.
            for (c_out, c_in, groups) in
                [(1, 1, 1), (19, 17, 1), (34, 5, 2), (18, 1, 18), (36, 1, 18)]
            {
                let geometry = Geometry {
                    weight: [c_out, c_in, kernel, kernel],
                    stride: [stride; 2],
                    padding: [dilation * (kernel - 1) / 2; 2],
                    dilation: [dilation; 2],
                    groups,
                };
                let images = [1, 3][case % 2];
                // Each kind of channels meets each layout.
                let layout = LAYOUTS[(case + case / 5) % LAYOUTS.len()];
                check(geometry, [images, c_in * groups, 9, 11], layout, random);
                case += 1;
            }
        }
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
        (square(128, 160, 3, 1, 1), [33, 160, 4, 4]),
    ] {
        let x = vec![0.0; input.iter().product()];
        let map = Map::channels_last(&x, input);
        let correlation = geometry.forward(input);
        assert!(super::winograd::suits(
            &correlation,
            map,
            geometry.weight[0]
        ));
        for layout in LAYOUTS {
            check(geometry, input, layout, random);
        }
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
        check(geometry, input, LAYOUTS[round % LAYOUTS.len()], random);
    }
}

#[test]
fn depthwise_geometries() {
    let random = &mut Random::new(3);
    for round in 0..60 {
        let channels = random.within(2, 70);
        let kernel = [random.within(1, 5), random.within(1, 5)];
        let dilation = [random.within(1, 2), random.within(1, 2)];
        let geometry = Geometry {
            weight: [channels, 1, kernel[0], kernel[1]],
            stride: [random.within(1, 3), random.within(1, 3)],
            padding: [random.within(0, 2), random.within(0, 2)],
            dilation,
            groups: channels,
        };
        let input = [
            random.within(1, 3),
            channels,
            random.within(9, 14),
            random.within(9, 14),
        ];
        check(geometry, input, LAYOUTS[round % LAYOUTS.len()], random);
    }
}
