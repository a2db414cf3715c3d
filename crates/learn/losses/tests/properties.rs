//! What must hold for any logits and features.

mod support;

use burn::tensor::{Int, Tensor, TensorData};
use offramp_losses::{
    Targets, byot_hint, cross_entropy, cross_entropy_soft, kl_divergence, masked_mse, mse,
};
use proptest::prelude::*;
use support::{device, values};

const N: usize = 4;
const C: usize = 5;

fn block() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-10.0_f32..10.0, N * C)
}

fn tensor(values: &[f32]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [N, C]), &device())
}

fn reversed(x: Tensor<2>) -> Tensor<2> {
    x.flip([0])
}

fn scalar(x: Tensor<1>) -> f32 {
    values(x)[0]
}

type Loss = fn(Tensor<2>, Tensor<2>) -> Tensor<1>;

/// Losses that are 0 for equal arguments and never below.
const DISTANCES: [Loss; 5] = [
    |x, t| kl_divergence(x, t, 1.0),
    |x, t| kl_divergence(x, t, 4.0),
    mse,
    masked_mse,
    byot_hint,
];

proptest! {
    #[test]
    fn equal_arguments_have_no_distance(x in block()) {
        for loss in DISTANCES {
            prop_assert_eq!(scalar(loss(tensor(&x), tensor(&x))), 0.0);
        }
    }

    #[test]
    fn distances_are_not_negative(x in block(), t in block()) {
        for loss in DISTANCES {
            prop_assert!(scalar(loss(tensor(&x), tensor(&t))) > -1e-5);
        }
    }

    #[test]
    fn a_constant_added_to_the_logits_changes_nothing(x in block(), t in block()) {
        let before = scalar(kl_divergence(tensor(&x), tensor(&t), 2.0));
        let after = scalar(kl_divergence(tensor(&x) + 3.0, tensor(&t) - 1.0, 2.0));
        prop_assert!((before - after).abs() <= 1e-5 * before.max(1.0), "{} {}", before, after);
    }

    #[test]
    fn the_order_of_the_batch_does_not_matter(
        x in block(),
        t in block(),
        labels in prop::collection::vec(-1..C as i64, N),
    ) {
        let close = |a: f32, b: f32| (a - b).abs() <= 1e-5 * a.abs().max(1.0);
        let soft: Loss = |x, t| cross_entropy_soft(x, t, 3.0);
        for loss in DISTANCES.into_iter().chain([soft]) {
            let before = scalar(loss(tensor(&x), tensor(&t)));
            let after = scalar(loss(reversed(tensor(&x)), reversed(tensor(&t))));
            prop_assert!(close(before, after), "{} {}", before, after);
        }
        let labels = Tensor::<1, Int>::from_data(&labels[..], &device());
        let before = scalar(cross_entropy(tensor(&x), &Targets::new(labels.clone())));
        let targets = Targets::new(labels.flip([0]));
        let after = scalar(cross_entropy(reversed(tensor(&x)), &targets));
        prop_assert!(close(before, after), "{} {}", before, after);
    }

    #[test]
    fn the_two_soft_forms_differ_by_the_entropy_of_the_target(x in block(), t in block()) {
        let temperature = 3.0;
        let kl = scalar(kl_divergence(tensor(&x), tensor(&t), temperature));
        let cross = scalar(cross_entropy_soft(tensor(&x), tensor(&t), temperature));
        let entropy = scalar(cross_entropy_soft(tensor(&t), tensor(&t), temperature));
        prop_assert!((cross - entropy - kl).abs() <= 1e-4, "{} {} {}", cross, entropy, kl);
    }
}
