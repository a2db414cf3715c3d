//! From a batch on the host to what a step needs on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::images::normalise;
use offramp_data::{Batch, DatasetInfo};
use offramp_losses::Targets;

/// A batch on the device.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Normalised images, `[N, 3, H, W]`.
    pub images: Tensor<4>,
    /// Labels, as the losses take them.
    pub targets: Targets,
    /// Place of every image in the files of the data set, `[N]`.
    pub rows: Vec<usize>,
    /// How many rows have a label.
    pub labelled: usize,
}

impl Input {
    /// Moves a batch: the pixels go as one block of bytes and are converted there.
    pub fn new(batch: Batch, info: &DatasetInfo, smoothing: f64, device: &Device) -> Self {
        let labelled = batch.labels.iter().filter(|label| **label >= 0).count();
        let mix = batch.mix.map(|mix| {
            let lambda = TensorData::new(mix.lambda, [batch.labels.len()]);
            (
                integers(mix.labels, device),
                Tensor::from_data(lambda, device),
            )
        });
        let targets = Targets {
            labels: integers(batch.labels, device),
            mix,
            smoothing,
        };
        Self {
            images: images(batch.images, batch.indices.len(), info, device),
            targets,
            rows: batch.indices,
            labelled,
        }
    }
}

/// A block of `n` images, normalised, `[N, 3, H, W]`.
pub(crate) fn images(bytes: Vec<u8>, n: usize, info: &DatasetInfo, device: &Device) -> Tensor<4> {
    let shape = [n, info.shape.channels, info.shape.height, info.shape.width];
    normalise(bytes, shape, info.mean, info.std, device)
}

/// Labels, `[N]`.
pub(crate) fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    let values: Vec<i64> = values.into_iter().map(i64::from).collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
