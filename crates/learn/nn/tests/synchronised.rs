//! Batch norm over the rows of several replicas is batch norm over all rows.

use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use offramp_kernels::Replica;
use offramp_nn::{BatchNorm2d, Init, synchronised};

const SHAPE: [usize; 4] = [6, 3, 2, 2];

fn rows(from: usize, to: usize, phase: f64) -> Tensor<4> {
    let [_, c, h, w] = SHAPE;
    let size = c * h * w;
    let values: Vec<f32> = (from * size..to * size)
        .map(|i| (1.3 * i as f64 + phase).sin() as f32)
        .collect();
    let data = TensorData::new(values, [to - from, c, h, w]);
    Tensor::from_data(data, &Device::flex().autodiff())
}

/// Output, gradients of rows and of the scale, and the running variance, for some of the rows.
fn compute(from: usize, to: usize) -> [Vec<f32>; 4] {
    let device = Device::flex().autodiff();
    let layer = BatchNorm2d::new(SHAPE[1], &Init::new(0, &device));
    let x = rows(from, to, 0.0).require_grad();
    let residual = rows(from, to, 2.0);
    let y = layer.forward_add_relu(x.clone(), residual);
    let gradients = (y.clone() * rows(from, to, 1.0)).sum().backward();
    let vector = |x: Tensor<1>| x.into_data().try_to_vec::<f32>().unwrap();
    [
        vector(y.flatten(0, 3)),
        vector(x.grad(&gradients).unwrap().flatten(0, 3)),
        vector(layer.weight.val().grad(&gradients).unwrap()),
        vector(layer.running_var.value()),
    ]
}

#[track_caller]
fn assert_near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() < 2e-5, "{a} {e}\n{actual:?}\n{expected:?}");
    }
}

#[test]
fn unequal_parts_of_a_batch_make_the_whole() {
    let [y, dx, dscale, running] = compute(0, 6);
    // Of 6 rows one replica has 4, the other 2.
    let parts = [(0, 4), (4, 6)];
    let replicas = Replica::group(&[Device::flex(), Device::flex()]);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (replicas.into_iter().zip(parts))
            .map(|(replica, (from, to))| {
                scope.spawn(move || {
                    let share = (to - from) as f64 / 6.0;
                    synchronised(replica, share, || compute(from, to))
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let joined = |what: usize| [results[0][what].as_slice(), &results[1][what]].concat();
    assert_near(&joined(0), &y);
    assert_near(&joined(1), &dx);
    let sum: Vec<f32> = (results[0][2].iter().zip(&results[1][2]))
        .map(|(a, b)| a + b)
        .collect();
    assert_near(&sum, &dscale);
    assert_near(&results[0][3], &running);
    assert_near(&results[1][3], &running);
}

#[test]
fn a_replica_that_fails_does_not_leave_the_others_waiting() {
    let mut replicas = Replica::group(&[Device::flex(), Device::flex()]);
    let fails = replicas.pop().unwrap();
    let stays = replicas.pop().unwrap();
    let waiting = thread::spawn(move || stays.mean(Tensor::<1>::ones([2], &Device::flex())));
    assert_eq!(fails.within(|| Err::<(), _>("no memory")), Err("no memory"));
    assert!(waiting.join().is_err());
}
