//! The interpreter against PyTorch, operation by operation.

use offramp_graph::reference::run;
use offramp_graph::{Builder, ConvGeometry, GraphError, Value, Window};

/// Runs what `write` makes of an input of the given shape that holds 1, 2, 3, ...
fn numbers(
    shape: &[usize],
    write: impl FnOnce(&mut Builder, Value) -> Result<Value, GraphError>,
) -> Vec<f32> {
    let mut b = Builder::new();
    let x = b.input("x", shape);
    let y = write(&mut b, x).unwrap();
    let count: usize = shape.iter().product();
    let input = (1..=count).map(|i| i as f32).collect();
    run(&b.finish([("y", y)]), 1, &[input]).unwrap().remove(0)
}

/// ```python
/// x = torch.arange(1., 10.).reshape(1, 1, 3, 3); w = torch.arange(1., 5.).reshape(1, 1, 2, 2)
/// F.conv2d(x, w, torch.tensor([10.]), padding=1, stride=2); F.conv2d(x, w, dilation=2)
/// ```
#[test]
fn convolutions_of_pytorch() {
    let conv = |geometry: ConvGeometry, bias: bool| {
        numbers(&[1, 3, 3], |b, x| {
            let weight = b.weight(0, &[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]);
            let bias = bias.then(|| b.weight(1, &[1], vec![10.0]));
            b.conv(x, weight, bias, geometry)
        })
    };
    let padded = ConvGeometry {
        padding: [1, 1],
        stride: [2, 2],
        ..ConvGeometry::default()
    };
    assert_eq!(conv(padded, true), [14.0, 28.0, 46.0, 87.0]);
    let dilated = ConvGeometry {
        dilation: [2, 2],
        ..ConvGeometry::default()
    };
    assert_eq!(conv(dilated, false), [1.0 + 6.0 + 21.0 + 36.0]);
}

/// A depthwise kernel, and two groups of two channels.
#[test]
fn groups_see_their_own_channels() {
    let conv = |weight: Vec<f32>, shape: [usize; 4], groups: usize| {
        numbers(&[4, 1, 1], |b, x| {
            let weight = b.weight(0, &shape, weight);
            let geometry = ConvGeometry {
                groups,
                ..ConvGeometry::default()
            };
            b.conv(x, weight, None, geometry)
        })
    };
    let depthwise = conv(vec![1.0, 10.0, 100.0, 1000.0], [4, 1, 1, 1], 4);
    assert_eq!(depthwise, [1.0, 20.0, 300.0, 4000.0]);
    assert_eq!(conv(vec![1.0; 4], [2, 2, 1, 1], 2), [3.0, 7.0]);
}

/// `F.max_pool2d(x, 2, 2, 1)` and `F.avg_pool2d(x, 2, 2, 1)` of 1 to 9, and
/// `F.adaptive_avg_pool2d(x, 2)`.
#[test]
fn pooling_of_pytorch() {
    let window = Window::square(2, 2, 1);
    let max = numbers(&[1, 3, 3], |b, x| b.max_pool(x, window));
    assert_eq!(max, [1.0, 3.0, 7.0, 9.0]);
    let mean = numbers(&[1, 3, 3], |b, x| b.avg_pool(x, window));
    assert_eq!(mean, [0.25, 1.25, 2.75, 7.0]);
    let adaptive = numbers(&[1, 3, 3], |b, x| b.shrink(x, [2, 2]));
    assert_eq!(adaptive, [3.0, 4.0, 6.0, 7.0]);
    let global = numbers(&[2, 1, 2], |b, x| b.global_avg_pool(x));
    assert_eq!(global, [1.5, 3.5]);
}

#[test]
fn moving_numbers() {
    // torchvision's channel_shuffle of 6 channels in 2 groups.
    let shuffled = numbers(&[6, 1, 1], |b, x| b.shuffle(x, 2));
    assert_eq!(shuffled, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let padded = numbers(&[1, 1, 2], |b, x| b.pad_channels(x, 1, 2));
    assert_eq!(padded, [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
    let sliced = numbers(&[1, 2, 3], |b, x| b.slice(x, 2, 0..3, 2));
    assert_eq!(sliced, [1.0, 3.0, 4.0, 6.0]);
    let joined = numbers(&[2, 1, 1], |b, x| {
        let last = b.slice(x, 0, 1..2, 1)?;
        b.concat(&[last, x])
    });
    assert_eq!(joined, [2.0, 1.0, 2.0]);
    let excited = numbers(&[2, 1, 2], |b, x| {
        let means = b.global_avg_pool(x)?;
        let means = b.reshape(means, &[2, 1, 1])?;
        b.mul(means, x)
    });
    assert_eq!(excited, [1.5, 3.0, 10.5, 14.0]);
}

/// `F.hardsigmoid`, `F.hardswish`, `torch.sigmoid` of 1 to 4 minus 2.5 times 2.
#[test]
fn activations_of_pytorch() {
    let activated = |write: fn(&mut Builder, Value) -> Result<Value, GraphError>| {
        numbers(&[4], |b, x| {
            let weights = [[2.0; 4], [0.0; 4], [2.5; 4], [1.0; 4]];
            let mut key = 0;
            let weights = weights.map(|data| {
                key += 1;
                b.weight(key, &[4], data.to_vec())
            });
            let x = b.batch_norm(x, weights, 0.0)?;
            write(b, x)
        })
    };
    let near = |found: Vec<f32>, expected: [f32; 4]| {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-6, "{found:?}");
        }
    };
    near(activated(|b, x| b.relu(x)), [0.0, 0.0, 1.0, 3.0]);
    near(
        activated(|b, x| b.clamp(x, -2.0, 2.0)),
        [-2.0, -1.0, 1.0, 2.0],
    );
    near(activated(|b, x| b.scale(x, -0.5)), [1.5, 0.5, -0.5, -1.5]);
    near(
        activated(|b, x| b.hard_sigmoid(x)),
        [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0],
    );
    near(
        activated(|b, x| b.hard_swish(x)),
        [0.0, -1.0 / 3.0, 2.0 / 3.0, 3.0],
    );
    near(
        activated(|b, x| b.sigmoid(x)),
        [0.047_425_874, 0.268_941_42, 0.731_058_6, 0.952_574_13],
    );
}

/// `F.layer_norm(torch.tensor([1., 2., 3.]), (3,), torch.tensor([1., 2., 1.]),
/// torch.tensor([0., 1., 0.]), eps=1/3)`: mean 2, variance 2/3.
#[test]
fn layer_norm_of_pytorch() {
    let normal = numbers(&[3], |b, x| {
        let scale = b.weight(0, &[3], vec![1.0, 2.0, 1.0]);
        let shift = b.weight(1, &[3], vec![0.0, 1.0, 0.0]);
        b.layer_norm(x, [scale, shift], 1.0 / 3.0)
    });
    assert_eq!(normal, [-1.0, 1.0, 1.0]);
}

#[test]
fn inputs_of_another_size_are_refused() {
    let mut b = Builder::new();
    let x = b.input("x", &[3]);
    let graph = b.finish([("x", x)]);
    let error = run(&graph, 2, &[vec![0.0; 5]]).unwrap_err().to_string();
    assert_eq!(error, "input \"x\" got 5 numbers, 6 are needed");
    assert!(run(&graph, 2, &[]).is_err());
}
