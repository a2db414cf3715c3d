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
    /// How many rows have a label; not counted of parts.
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

    /// The rows in so many parts, in their order and of about the same size; fewer parts where there
    /// are fewer rows.
    pub fn parts(&self, count: usize) -> Vec<Self> {
        let rows = self.rows.len();
        let count = count.clamp(1, rows.max(1));
        if count == 1 {
            return vec![self.clone()];
        }
        let part = |at: usize| {
            let range = rows * at / count..rows * (at + 1) / count;
            let device = self.images.device();
            let places = Tensor::arange(range.start as i64..range.end as i64, &device);
            Self {
                images: self.images.clone().slice_dim(0, range.clone()),
                targets: self.targets.select(places),
                rows: self.rows[range].to_vec(),
                labelled: 0,
            }
        };
        (0..count).map(part).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn parts_are_all_rows_in_their_order() {
        let device = default_device().unwrap();
        let labels: Vec<i32> = (0..7).collect();
        let input = Input {
            images: integers(labels.clone(), &device)
                .float()
                .reshape([7, 1, 1, 1]),
            targets: Targets::new(integers(labels, &device)),
            rows: (10..17).collect(),
            labelled: 7,
        };
        for (count, sizes) in [
            (1, vec![7]),
            (2, vec![3, 4]),
            (3, vec![2, 2, 3]),
            (9, vec![1; 7]),
        ] {
            let parts = input.parts(count);
            let found: Vec<usize> = parts.iter().map(|part| part.rows.len()).collect();
            assert_eq!(found, sizes);
            let rows: Vec<usize> = parts.iter().flat_map(|part| part.rows.clone()).collect();
            assert_eq!(rows, input.rows);
            for part in parts {
                let images: Vec<i64> = part.images.into_data().iter::<i64>().collect();
                let labels: Vec<i64> = part.targets.labels.into_data().iter::<i64>().collect();
                let places: Vec<i64> = part.rows.iter().map(|row| *row as i64 - 10).collect();
                assert_eq!((&images, &labels), (&places, &places));
            }
        }
    }
}
