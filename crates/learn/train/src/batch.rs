//! Moves a batch from the host to the device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::images::{Place, normalise, pixels, standardise, windows};
use offramp_data::{Batch, DatasetInfo, Windows};
use offramp_losses::Targets;

/// A batch on the device.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Normalised images, `[N, 3, H, W]`.
    pub images: Tensor<4>,
    /// Labels, as the losses take them.
    pub targets: Targets,
    /// Index of every image in the files of the data set, `[N]`.
    pub indices: Vec<usize>,
    /// Number of images with a label; 0 for parts.
    pub labelled: usize,
}

impl Input {
    /// Moves a batch to the device: the pixels as one block of bytes, which are converted there.
    pub(crate) fn new(batch: Batch, info: &DatasetInfo, smoothing: f64, device: &Device) -> Self {
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
        let shape = batch.shape;
        let shape = [
            batch.indices.len(),
            shape.channels,
            shape.height,
            shape.width,
        ];
        let pixels = pixels(batch.images, shape, device);
        let pixels = match batch.windows {
            Some(windows) => cut(pixels, &windows),
            None => pixels,
        };
        Self {
            images: standardise(pixels, info.mean, info.std),
            targets,
            indices: batch.indices,
            labelled,
        }
    }

    /// Splits the images, in their order, into `count` parts of about the same size; into fewer where
    /// there are fewer images.
    pub(crate) fn parts(&self, count: usize) -> Vec<Self> {
        let images = self.indices.len();
        let count = count.clamp(1, images.max(1));
        if count == 1 {
            return vec![self.clone()];
        }
        let part = |at: usize| {
            let range = images * at / count..images * (at + 1) / count;
            let device = self.images.device();
            let places = Tensor::arange(range.start as i64..range.end as i64, &device);
            Self {
                images: self.images.clone().slice_dim(0, range.clone()),
                targets: self.targets.select(places),
                indices: self.indices[range].to_vec(),
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

/// Cuts out the windows that the network gets.
fn cut(images: Tensor<4>, found: &Windows) -> Tensor<4> {
    let place = |window: &offramp_data::Window| Place {
        top: window.top,
        left: window.left,
        flip: window.flip,
    };
    let places: Vec<Place> = found.places.iter().map(place).collect();
    let size = [found.shape.height, found.shape.width];
    windows(images, &places, size, found.fill)
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
    use offramp_data::{AugmentConfig, DataConfig, Loader, LoaderConfig};

    /// The first batch of two epochs, as the network gets it.
    fn seen(on_device: bool) -> Vec<f32> {
        let config = DataConfig::default();
        let splits = offramp_data::open(&config, None).unwrap();
        let augment = AugmentConfig {
            on_device,
            crop: Some(24),
            ..config.augment.clone()
        };
        let mut info = splits.info.clone();
        (info.shape.height, info.shape.width) = (24, 24);
        let settings = LoaderConfig::training(8, 3, augment);
        let loader = Loader::new(splits.train.clone(), &info, settings).unwrap();
        let device = default_device().unwrap();
        let batches = (0..2).map(|epoch| loader.clone().epoch(epoch).next().unwrap().unwrap());
        let inputs = batches.map(|batch| {
            assert_eq!(batch.windows.is_some(), on_device);
            Input::new(batch, &info, 0.0, &device).images
        });
        let images = Tensor::cat(inputs.collect(), 0);
        assert_eq!(images.dims(), [16, 3, 24, 24]);
        images.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn windows_cut_by_the_device_are_those_of_the_host() {
        assert!(seen(true) == seen(false));
    }

    #[test]
    fn parts_are_all_images_in_their_order() {
        let device = default_device().unwrap();
        let labels: Vec<i32> = (0..7).collect();
        let input = Input {
            images: integers(labels.clone(), &device)
                .float()
                .reshape([7, 1, 1, 1]),
            targets: Targets::new(integers(labels, &device)),
            indices: (10..17).collect(),
            labelled: 7,
        };
        for (count, sizes) in [
            (1, vec![7]),
            (2, vec![3, 4]),
            (3, vec![2, 2, 3]),
            (9, vec![1; 7]),
        ] {
            let parts = input.parts(count);
            let found: Vec<usize> = parts.iter().map(|part| part.indices.len()).collect();
            assert_eq!(found, sizes);
            let indices: Vec<usize> = parts.iter().flat_map(|part| part.indices.clone()).collect();
            assert_eq!(indices, input.indices);
            for part in parts {
                let images: Vec<i64> = part.images.into_data().iter::<i64>().collect();
                let labels: Vec<i64> = part.targets.labels.into_data().iter::<i64>().collect();
                let places: Vec<i64> = part
                    .indices
                    .iter()
                    .map(|index| *index as i64 - 10)
                    .collect();
                assert_eq!((&images, &labels), (&places, &places));
            }
        }
    }
}
