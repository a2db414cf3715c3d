//! Gradients of every loss against finite differences.

mod support;

use burn::tensor::{Int, Tensor};
use offramp_losses::{
    Distillation, SoftForm, Targets, byot_hint, cross_entropy, cross_entropy_soft, kl_divergence,
    masked_mse, mse,
};
use support::{assert_gradient, device, matrix};

/// Three samples, two classes or units; no value within 0.1 of 0, where the masks have a kink.
const X: [f32; 6] = [0.4, -0.7, 1.3, 0.9, -1.1, 0.2];

fn rows(x: Tensor<1>) -> Tensor<2> {
    x.reshape([3, 2])
}

fn target() -> Tensor<2> {
    matrix(&[[-0.3, 0.8], [0.5, 2.0], [-0.6, -0.4]], &device())
}

#[test]
fn soft_losses() {
    for temperature in [1.0, 3.0] {
        assert_gradient(&X, |x| kl_divergence(rows(x), target(), temperature));
        assert_gradient(&X, |x| cross_entropy_soft(rows(x), target(), temperature));
    }
}

#[test]
fn the_target_side_of_a_distillation() {
    for form in [SoftForm::Kl, SoftForm::CrossEntropy] {
        let loss = Distillation {
            target_gradient: true,
            ..Distillation::new(2.0, form)
        };
        assert_gradient(&X, |x| loss.pair(target(), rows(x)));
    }
}

#[test]
fn feature_losses() {
    assert_gradient(&X, |x| mse(rows(x), target()));
    assert_gradient(&X, |x| masked_mse(rows(x), target()));
    assert_gradient(&X, |x| byot_hint(rows(x), target()));
}

#[test]
fn cross_entropy_with_labels() {
    let device = device();
    let labels = |labels: [i64; 3]| Tensor::<1, Int>::from_data(labels, &device);
    let mix = (
        labels([1, 1, -1]),
        Tensor::from_floats([0.3, 0.8, 0.5], &device),
    );
    for mix in [None, Some(mix)] {
        for smoothing in [0.0, 0.1] {
            let targets = Targets {
                labels: labels([1, -1, 0]),
                mix: mix.clone(),
                smoothing,
            };
            assert_gradient(&X, |x| cross_entropy(rows(x), &targets));
        }
    }
}
