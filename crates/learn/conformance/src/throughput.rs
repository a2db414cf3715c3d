//! Images per second of a training step and of inference, with every exit computed.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::{MapShape, Precision};
use offramp_heads::NetConfig;
use offramp_losses::{Targets, cross_entropy};
use offramp_nn::Init;
use offramp_train::optim::{Optimizer, OptimizerConfig};
use serde::Serialize;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Job {
    /// The network.
    pub net: NetConfig,
    /// Number of classes.
    pub classes: usize,
    /// Side of the square images.
    pub side: usize,
    /// Images per step.
    pub batch: usize,
    /// The numbers that the network computes with.
    pub precision: Precision,
    /// How long to measure, seconds.
    pub seconds: f64,
}

/// Images per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// Forward, backward and update with SGD, cross-entropy of all exits.
    pub train: f64,
    /// Logits of all exits.
    pub infer: f64,
}

/// Measures on a device. Kernels are compiled and tuned in steps that do not count; images lie on the
/// device already.
///
/// # Errors
/// When the network cannot be built, or the device fails, with its message.
pub fn measure(job: &Job, device: &Device) -> Result<Throughput, String> {
    let tracked = device.clone().autodiff();
    let image = MapShape::new(3, job.side, job.side);
    let init = &mut Init::new(0, &tracked);
    let mut net = (job.net.init(job.classes, image, init)).map_err(|error| error.to_string())?;
    let images = |device: &Device| Tensor::<4>::ones([job.batch, 3, job.side, job.side], device);
    let labels: Vec<i64> = (0..job.batch).map(|i| (i % job.classes) as i64).collect();
    let labels = TensorData::new(labels, [job.batch]);
    let targets = Targets::new(Tensor::<1, Int>::from_data(labels, &tracked));

    let mut optimizer = Optimizer::new(OptimizerConfig::default());
    let train = rate(job, || {
        let outputs = net.forward(job.precision.cast(images(&tracked)));
        let losses = outputs.logits().map(|z| cross_entropy(z.clone(), &targets));
        let loss = losses.reduce(|sum, loss| sum + loss).ok_or("no exits")?;
        let mut gradients = loss.backward();
        net = optimizer.step("net", net.clone(), &mut gradients, 1e-3, None);
        read(loss)
    })?;
    let net = net.valid();
    let infer = rate(job, || {
        let outputs = net.forward(job.precision.cast(images(device)));
        let sums = outputs.logits().map(|z| z.clone().sum());
        read(sums.reduce(|sum, z| sum + z).ok_or("no exits")?)
    })?;
    Ok(Throughput { train, infer })
}

/// Waits for the device.
fn read(x: Tensor<1>) -> Result<(), String> {
    let data = x.try_into_data().map_err(|error| error.to_string())?;
    if data.iter::<f32>().all(f32::is_finite) {
        Ok(())
    } else {
        Err("a result that is no number".to_owned())
    }
}

fn rate(job: &Job, mut step: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    for _ in 0..3 {
        step()?;
    }
    let start = Instant::now();
    let mut steps = 0;
    while start.elapsed().as_secs_f64() < job.seconds {
        step()?;
        steps += 1;
    }
    Ok((steps * job.batch) as f64 / start.elapsed().as_secs_f64())
}
