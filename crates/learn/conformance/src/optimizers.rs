//! Optimisers: parameters after three steps.

use burn::tensor::Tensor;
use offramp_nn::Linear;
use offramp_train::optim::{AdamwConfig, GradientNorm, Optimizer, OptimizerConfig, SgdConfig};

use crate::place::values;
use crate::{Check, Numbers, Place};

const TOLERANCE: f64 = 1e-5;

pub(crate) fn checks() -> Vec<Check> {
    let configs = [
        ("sgd", OptimizerConfig::Sgd(SgdConfig::default())),
        ("adamw", OptimizerConfig::Adamw(AdamwConfig::default())),
    ];
    let check = |(name, config): (&str, OptimizerConfig)| {
        Check::new(format!("optimizers/{name}"), TOLERANCE, move |place| {
            numbers(config.clone(), place)
        })
    };
    configs.into_iter().map(check).collect()
}

fn numbers(config: OptimizerConfig, place: &Place) -> Numbers {
    let mut optimizer = Optimizer::new(config);
    let mut layer = place.module(Linear::new(5, 3, &mut place.init(4)));
    let mut norms = Vec::new();
    for step in 0..3 {
        let x = Tensor::from_inner(place.wave(step, [4, 5]));
        let loss = layer.forward(x).square().sum();
        let mut gradients = loss.backward();
        let mut norm = GradientNorm::default();
        norm.add(&layer, &gradients);
        norms.extend(norm.value().map(values).unwrap_or_default());
        let scale = norm.clip(1.0);
        layer = optimizer.step("net", layer, &mut gradients, 0.1, scale.as_ref());
    }
    let mut numbers: Numbers = vec![
        ("weight".into(), values(layer.weight.val())),
        (
            "bias".into(),
            layer
                .bias
                .map(|bias| values(bias.val()))
                .unwrap_or_default(),
        ),
        ("norms".into(), norms),
    ];
    for (name, slot) in optimizer.slots() {
        let tensors = slot.tensors.iter();
        numbers.extend(tensors.map(|(what, t)| (format!("{name} {what}"), values(t.clone()))));
    }
    numbers
}
