//! Every operation against the graph's interpreter.

mod support;

use offramp_graph::{Builder, ConvGeometry, GraphError, Value, Window};
use support::{Weights, check};

type Made = Result<Value, GraphError>;

/// One operation on an input of this shape, with one, two and three threads and several batches.
#[track_caller]
fn op(shape: &[usize], write: impl Fn(&mut Builder, &mut Weights, Value) -> Made) {
    let mut b = Builder::new();
    let x = b.input("x", shape);
    let y = write(&mut b, &mut Weights::new(3), x).unwrap();
    check(&b.finish([("y", y)]));
}

fn geometry(stride: usize, padding: usize, dilation: usize, groups: usize) -> ConvGeometry {
    ConvGeometry {
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        groups,
    }
}

/// Output channels, input channels of a group, kernel, stride, padding, dilation, groups, sides.
#[test]
fn convolutions() {
    for [c_out, c_in, kernel, stride, padding, dilation, groups, h, w] in [
        [16, 3, 3, 1, 1, 1, 1, 8, 8],
        [16, 16, 3, 1, 1, 1, 1, 9, 7],
        [40, 24, 3, 2, 1, 1, 1, 9, 11],
        [64, 64, 3, 1, 1, 1, 1, 6, 6],
        [32, 48, 3, 1, 1, 1, 1, 12, 14],
        [100, 33, 3, 1, 1, 1, 1, 5, 5],
        [16, 3, 7, 2, 3, 1, 1, 31, 29],
        [70, 33, 1, 1, 0, 1, 1, 7, 7],
        [70, 33, 1, 2, 0, 1, 1, 7, 8],
        [16, 8, 3, 1, 2, 2, 1, 9, 9],
        [30, 10, 3, 1, 1, 1, 3, 9, 9],
        [64, 4, 3, 2, 1, 1, 16, 8, 8],
        [96, 32, 1, 1, 0, 1, 3, 4, 4],
        [37, 1, 3, 2, 1, 1, 37, 9, 9],
        [64, 1, 5, 1, 2, 1, 64, 7, 13],
        [8, 2, 3, 1, 0, 1, 1, 3, 3],
        [16, 16, 5, 3, 4, 1, 1, 7, 7],
        [5, 4, 3, 1, 1, 1, 1, 1, 1],
    ] {
        op(&[c_in * groups, h, w], |b, weights, x| {
            let weight = weights.add(b, &[c_out, c_in, kernel, kernel]);
            let bias = weights.add(b, &[c_out]);
            b.conv(
                x,
                weight,
                Some(bias),
                geometry(stride, padding, dilation, groups),
            )
        });
    }
}

/// Several pieces of weights in a row, and more channels than a panel.
#[test]
fn many_channels() {
    op(&[200, 4, 4], |b, weights, x| {
        let weight = weights.add(b, &[150, 200, 3, 3]);
        b.conv(x, weight, None, geometry(1, 1, 1, 1))
    });
    op(&[256, 2, 3], |b, weights, x| {
        let weight = weights.add(b, &[256, 256, 3, 3]);
        b.conv(x, weight, None, geometry(1, 1, 1, 1))
    });
}

#[test]
fn vectors() {
    op(&[37], |b, weights, x| {
        let weight = weights.add(b, &[100, 37]);
        let bias = weights.add(b, &[100]);
        b.linear(x, weight, Some(bias))
    });
    op(&[50], |b, weights, x| {
        let scales = [weights.add(b, &[50]), weights.add(b, &[50])];
        b.layer_norm(x, scales, 1e-5)
    });
    op(&[20], |b, weights, x| {
        let norm = weights.norm(b, 20);
        b.batch_norm(x, norm, 1e-5)
    });
}

#[test]
fn activations() {
    let all: [fn(&mut Builder, Value) -> Made; 6] = [
        |b, x| b.relu(x),
        |b, x| b.clamp(x, -0.25, 0.5),
        |b, x| b.sigmoid(x),
        |b, x| b.hard_sigmoid(x),
        |b, x| b.hard_swish(x),
        |b, x| b.scale(x, -1.5),
    ];
    for function in all {
        op(&[19, 3, 5], |b, _, x| function(b, x));
        // Behind a convolution and a sum, and twice.
        op(&[19, 3, 5], |b, weights, x| {
            let weight = weights.add(b, &[19, 19, 3, 3]);
            let y = b.conv(x, weight, None, geometry(1, 1, 1, 1))?;
            let y = b.add(x, y)?;
            let y = function(b, y)?;
            function(b, y)
        });
    }
}

#[test]
fn pools() {
    for shape in [[17, 9, 8], [16, 7, 7]] {
        for window in [Window::square(3, 2, 1), Window::square(2, 2, 0)] {
            op(&shape, |b, _, x| b.max_pool(x, window));
            op(&shape, |b, _, x| b.avg_pool(x, window));
        }
        op(&shape, |b, _, x| b.shrink(x, [3, 2]));
        op(&shape, |b, _, x| b.global_avg_pool(x));
    }
}

#[test]
fn moved_numbers() {
    op(&[24, 3, 4], |b, _, x| b.shuffle(x, 3));
    op(&[20, 3, 4], |b, _, x| b.pad_channels(x, 5, 7));
    op(&[20, 3, 4], |b, _, x| b.reshape(x, &[240]));
    op(&[20, 3, 4], |b, _, x| b.reshape(x, &[10, 24]));
    op(&[20, 3, 4], |b, _, x| b.reshape(x, &[5, 4, 3, 4]));
    op(&[33], |b, _, x| b.reshape(x, &[33, 1, 1]));
    op(&[33, 4, 6], |b, _, x| {
        let channels = b.slice(x, 0, 3..21, 1)?;
        let rows = b.slice(channels, 1, 1..4, 2)?;
        b.slice(rows, 2, 0..6, 2)
    });
    op(&[18, 4, 6], |b, _, x| {
        let part = b.slice(x, 0, 0..16, 1)?;
        b.concat(&[part, x, part])
    });
    op(&[32, 4, 6], |b, weights, x| {
        let weight = weights.add(b, &[16, 64, 3, 3]);
        let joined = b.concat(&[x, x])?;
        b.conv(joined, weight, None, geometry(1, 1, 1, 1))
    });
}

#[test]
fn sums_and_products() {
    op(&[19, 3, 5], |b, weights, x| {
        let norm = weights.norm(b, 19);
        let other = b.batch_norm(x, norm, 1e-5)?;
        let sum = b.add(x, other)?;
        b.mul(sum, other)
    });
    // Squeeze and excitation, both ways round, and repeated axes of both factors.
    op(&[19, 3, 5], |b, _, x| {
        let means = b.global_avg_pool(x)?;
        let means = b.reshape(means, &[19, 1, 1])?;
        b.mul(means, x)
    });
    op(&[19, 3, 5], |b, _, x| {
        let one = b.slice(x, 0, 3..4, 1)?;
        b.mul(x, one)
    });
    op(&[19, 3, 5], |b, _, x| {
        let row = b.slice(x, 1, 0..1, 1)?;
        let column = b.slice(x, 2, 0..1, 1)?;
        b.mul(row, column)
    });
    op(&[2, 3, 4, 5], |b, _, x| {
        let part = b.slice(x, 2, 1..2, 1)?;
        b.mul(part, x)
    });
}

/// A value that is an output, an input that is one, one that is two.
#[test]
fn outputs_of_all_kinds() {
    let mut b = Builder::new();
    let x = b.input("x", &[19, 3, 5]);
    let y = b.relu(x).unwrap();
    let flat = b.reshape(y, &[19 * 15]).unwrap();
    check(&b.finish([("x", x), ("y", y), ("again", y), ("flat", flat)]));
}
