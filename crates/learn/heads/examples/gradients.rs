//! Writes the loss and all gradients of one training step, for a comparison with PyTorch.
//!
//! `cargo run --release -p offramp-heads --example gradients -- RUN IMAGES.bin OUT.safetensors`
//!
//! `IMAGES.bin` holds CIFAR-100 records; the loss is the sum of the exits' cross-entropies.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use offramp_core::default_device;
use offramp_core::images::normalise;
use offramp_core::params::{self, NamedTensors};
use offramp_heads::load_model;
use offramp_kernels::softmax_cross_entropy;

const RECORD: usize = 3074;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, images, out] = arguments.as_slice() else {
        return Err("usage: gradients RUN IMAGES.bin OUT.safetensors".into());
    };
    let device = default_device()?.autodiff();
    let (net, card) = load_model(Path::new(run), &device)?;
    let records = std::fs::read(images)?;
    let labels: Vec<i64> = records.chunks(RECORD).map(|r| i64::from(r[1])).collect();
    let pixels: Vec<u8> = records
        .chunks(RECORD)
        .flat_map(|r| r[2..].to_vec())
        .collect();
    let n = labels.len();
    let x = normalise(pixels, [n, 3, 32, 32], card.mean, card.std, &device);
    let targets = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), &device);
    let mut loss = Tensor::<1>::zeros([1], &device);
    for logits in net.forward(x).logits() {
        loss = loss + softmax_cross_entropy(logits.clone(), targets.clone()).mean();
    }
    let gradients = loss.backward();
    let tensors = params::collect(&net);
    let mut found = NamedTensors::new();
    for (name, gradient) in params::gradients(&net, &gradients) {
        let shape = tensors[&name].shape().clone();
        let values = gradient.into_data().try_into_vec::<f32>()?;
        found.insert(name, TensorData::new(values, shape));
    }
    found.insert("loss".into(), loss.into_data());
    for (name, data) in tensors {
        if name.contains("running_") {
            found.insert(name, data);
        }
    }
    std::fs::write(out, params::to_safetensors(&found, BTreeMap::new())?)?;
    Ok(())
}
