//! One batch, and how it is made.

use super::Plan;
use crate::augment::{Augmenter, Mix, Window, centre_crop, mix_batch};
use crate::info::ImageShape;
use crate::rng::{Purpose, Stream};

/// A batch of uint8 images. It is converted to floats and normalised on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Pixels, `N x C x H x W`.
    pub images: Vec<u8>,
    /// The shape of one image.
    pub shape: ImageShape,
    /// Labels, `N`; -1 for a sample without one.
    pub labels: Vec<i32>,
    /// Indices of the samples in the underlying [`Images`](crate::Images), `N`.
    pub indices: Vec<usize>,
    /// The second labels, if mixup or cutmix is on.
    pub mix: Option<Mix>,
    /// The windows to be cut out of the images, if that is left to the device.
    pub windows: Option<Windows>,
}

/// The windows of the images of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// The window of each image, `N`.
    pub places: Vec<Window>,
    /// The shape of a window.
    pub shape: ImageShape,
    /// The colour beyond the edges of an image.
    pub fill: [u8; 3],
}

impl Batch {
    /// The number of samples `N`.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Splits the batch, in the order of its samples, into `count` parts of about the same size; into as
    /// many parts as samples where there are fewer.
    pub fn split(&self, count: usize) -> Vec<Self> {
        let rows = self.len();
        let count = count.clamp(1, rows.max(1));
        let part = |at: usize| {
            let range = rows * at / count..rows * (at + 1) / count;
            let bytes = self.shape.bytes();
            Self {
                images: self.images[range.start * bytes..range.end * bytes].to_vec(),
                shape: self.shape,
                labels: self.labels[range.clone()].to_vec(),
                indices: self.indices[range.clone()].to_vec(),
                mix: self.mix.as_ref().map(|mix| Mix {
                    labels: mix.labels[range.clone()].to_vec(),
                    lambda: mix.lambda[range.clone()].to_vec(),
                }),
                windows: self.windows.as_ref().map(|windows| Windows {
                    places: windows.places[range.clone()].to_vec(),
                    ..*windows
                }),
            }
        };
        (0..count).map(part).collect()
    }

    /// Image `i`, `C x H x W`.
    ///
    /// # Panics
    /// If `i` is not below [`Batch::len`].
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * self.shape.bytes()..(i + 1) * self.shape.bytes()]
    }
}

impl Plan {
    /// Makes the batch of the samples at these positions.
    pub(super) fn batch(&self, epoch: u64, positions: &[usize]) -> Batch {
        let (seed, stored) = (self.config.seed, self.subset.shape());
        let deferred = |augmenter: &&Augmenter| augmenter.config().on_device;
        let deferred = self.augmenter.as_ref().filter(deferred);
        let shape = if deferred.is_some() {
            stored
        } else {
            self.info.shape
        };
        let mut images = vec![0; positions.len() * shape.bytes()];
        let indices: Vec<usize> = positions
            .iter()
            .map(|&p| self.subset.indices()[p])
            .collect();
        let labels: Vec<i32> = positions.iter().map(|&p| self.subset.label(p)).collect();
        let places = images.chunks_exact_mut(shape.bytes());
        for ((&position, &index), out) in positions.iter().zip(&indices).zip(places) {
            let image = self.subset.image(position);
            match &self.augmenter {
                Some(augmenter) if deferred.is_none() => {
                    let mut stream = Stream::new(Purpose::Augment, seed, epoch, index as u64);
                    augmenter.apply(image, &mut stream, out);
                }
                _ => centre_crop(image, stored, out, shape),
            }
        }
        let windows = deferred.map(|augmenter| {
            let place = |&index: &usize| {
                augmenter.window(&mut Stream::new(
                    Purpose::Augment,
                    seed,
                    epoch,
                    index as u64,
                ))
            };
            Windows {
                places: indices.iter().map(place).collect(),
                shape: self.info.shape,
                fill: augmenter.fill(),
            }
        });
        let mix = self.augmenter.as_ref().and_then(|augmenter| {
            let settings = augmenter.config();
            mix_batch(
                settings,
                (seed, epoch),
                &mut images,
                shape,
                &labels,
                &indices,
            )
        });
        Batch {
            images,
            shape,
            labels,
            indices,
            mix,
            windows,
        }
    }
}
