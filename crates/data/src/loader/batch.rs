//! One batch, and how it is made.

use super::Plan;
use crate::augment::{Mix, centre_crop, mix_batch};
use crate::info::ImageShape;
use crate::rng::{Purpose, Stream};

/// A batch of uint8 pictures. It is converted to floats and normalised on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Pixels, `N x C x H x W`.
    pub images: Vec<u8>,
    /// The shape of one picture.
    pub shape: ImageShape,
    /// Labels, `N`; -1 for a sample without one.
    pub labels: Vec<i32>,
    /// Indices of the samples in the underlying [`Images`](crate::Images), `N`.
    pub indices: Vec<usize>,
    /// The second labels, if mixup or cutmix is on.
    pub mix: Option<Mix>,
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

    /// Picture `i`, `C x H x W`.
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
        let (shape, seed) = (self.info.shape, self.config.seed);
        let mut images = vec![0; positions.len() * shape.bytes()];
        let indices: Vec<usize> = positions
            .iter()
            .map(|&p| self.subset.indices()[p])
            .collect();
        let labels: Vec<i32> = positions.iter().map(|&p| self.subset.label(p)).collect();
        let places = images.chunks_exact_mut(shape.bytes());
        for ((&position, &index), out) in positions.iter().zip(&indices).zip(places) {
            let picture = self.subset.image(position);
            match &self.augmenter {
                Some(augmenter) => {
                    let mut stream = Stream::new(Purpose::Augment, seed, epoch, index as u64);
                    augmenter.apply(picture, &mut stream, out);
                }
                None => centre_crop(picture, self.subset.shape(), out, shape),
            }
        }
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
        }
    }
}
