//! Networks to be exported.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod protobuf;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use offramp_core::{MapShape, default_device, params};
use offramp_heads::{MODEL_FORMAT, ModelCard, MultiExitNet};
use offramp_interop::export::Description;
use offramp_nn::Init;
use offramp_policies::AnyPolicy;
use serde_json::{Value, json};

pub(crate) const CLASSES: usize = 7;

/// A network whose batch norms are not the identity, ready for evaluation, and its card.
pub(crate) fn network(config: Value, image: MapShape) -> (MultiExitNet, ModelCard) {
    let card = ModelCard {
        format: MODEL_FORMAT,
        net: serde_json::from_value(config).expect("a configuration"),
        classes: (0..CLASSES)
            .map(|class| format!("class \"{class}\""))
            .collect(),
        image,
        resize: image,
        mean: [0.5, 0.4, 0.3],
        std: [0.25, 0.2, 0.1],
        dataset: "none".to_owned(),
        commit: None,
        sha256: "of the weights".to_owned(),
    };
    let mut init = Init::new(3, &default_device().expect("a device"));
    let net = card.net.init(CLASSES, image, &mut init).expect("a network");
    let mut tensors = params::collect(&net);
    for (name, data) in &mut tensors {
        let noise = init.uniform([data.num_elements()], 0.5).val().into_data();
        let values: Vec<f32> = (data.iter::<f32>().zip(noise.iter::<f32>()))
            .map(|(old, noise)| match name.rsplit('.').next() {
                Some("running_mean" | "bias") => 0.4 * noise,
                Some("running_var") => 1.0 + noise,
                Some("weight") if data.shape().len() == 1 => 1.0 + 0.5 * noise,
                _ => old,
            })
            .collect();
        *data = TensorData::new(values, data.shape().to_vec());
    }
    let net = params::apply(net, tensors).expect("the same tensors");
    (net.valid(), card)
}

pub(crate) fn describe(net: &MultiExitNet, card: &ModelCard) -> Description {
    Description::new(net, card, Some("seed = 0\n".to_owned()))
}

/// Thresholds that no sample meets at exit 0 and every one does at exit 1, where there are more.
pub(crate) fn policy(exits: usize) -> AnyPolicy {
    let mut thresholds = vec![json!("inf"); exits];
    thresholds[exits.min(2) - 1] = json!(0.25);
    let json = json!({"name": "confidence", "thresholds": thresholds});
    serde_json::from_value(json).expect("a policy")
}

/// Normalised images.
pub(crate) fn images(count: usize, image: MapShape) -> Tensor<4> {
    let shape = [count, image.channels, image.height, image.width];
    Init::new(11, &default_device().expect("a device"))
        .normal(shape, 1.0)
        .val()
        .detach()
}
