//! Seeded augmentation of training images, on uint8 planes.
//!
//! The order is fixed: a window (random-resized crop, or pad and crop), the horizontal flip,
//! RandAugment, then cutout and random erasing; mixup and cutmix act on the finished batch.
//! Normalisation is left to the device: a batch is transferred as uint8, a quarter of the bytes.
//!
//! Every draw comes from the stream of `(seed, epoch, sample index)`, see [`crate::rng`].

mod affine;
mod config;
mod crop;
mod erase;
mod mix;
mod photometric;
mod rand_augment;
mod resample;

pub use config::{AugmentConfig, Erasing, Fill, RandAugment, ResizedCrop};
pub use crop::Window;
pub(crate) use crop::centre_crop;
pub use mix::Mix;
pub(crate) use mix::mix_batch;

use crate::error::DataError;
use crate::info::{DatasetInfo, ImageShape};
use crate::rng::Stream;

/// An [`AugmentConfig`] made ready for images of one shape.
#[derive(Debug, Clone)]
pub(crate) struct Augmenter {
    config: AugmentConfig,
    stored: ImageShape,
    shape: ImageShape,
    pad_fill: [u8; 3],
    erase_fill: [u8; 3],
}

impl Augmenter {
    /// Checks the settings against the data set: images come in `stored` shape and leave in
    /// `info.shape`.
    ///
    /// # Errors
    /// [`DataError::Config`] with the first bad key.
    pub(crate) fn new(
        config: &AugmentConfig,
        info: &DatasetInfo,
        stored: ImageShape,
    ) -> Result<Self, DataError> {
        config.check(stored, info.shape)?;
        Ok(Self {
            config: config.clone(),
            stored,
            shape: info.shape,
            pad_fill: config.fill.colour(info.mean),
            erase_fill: config.erase_fill.colour(info.mean),
        })
    }

    /// Writes an augmented copy of `image` to `out`.
    ///
    /// # Shapes
    /// - `image`: `C x H x W` of the stored shape
    /// - `out`: `C x H x W` of the network's input
    pub(crate) fn apply(&self, image: &[u8], stream: &mut Stream, out: &mut [u8]) {
        match &self.config.resized_crop {
            Some(settings) => {
                let window = resample::random_window(settings, self.stored, stream);
                let flip = stream.chance(self.config.flip);
                resample::resample(image, self.stored, window, out, self.shape, flip);
            }
            None => {
                let window = self.window(stream);
                crop::copy_window(image, self.stored, window, out, self.shape, self.pad_fill);
            }
        }
        if let Some(settings) = &self.config.rand_augment {
            rand_augment::apply(settings, self.shape, self.pad_fill, stream, out);
        }
        if self.config.cutout > 0 {
            erase::cutout(self.config.cutout, self.shape, self.erase_fill, stream, out);
        }
        if let Some(settings) = &self.config.erase {
            erase::random_erasing(settings, self.shape, self.erase_fill, stream, out);
        }
    }

    /// The window of pad, crop and flip that [`apply`](Self::apply) would cut.
    pub(crate) fn window(&self, stream: &mut Stream) -> Window {
        let pad = self.config.pad as i32;
        let mut offset =
            |from: usize, to: usize| stream.between(-pad, from as i32 + pad - to as i32);
        let top = offset(self.stored.height, self.shape.height);
        let left = offset(self.stored.width, self.shape.width);
        let flip = stream.chance(self.config.flip);
        Window { top, left, flip }
    }

    /// The colour beyond the edges of an image.
    pub(crate) fn fill(&self) -> [u8; 3] {
        self.pad_fill
    }

    /// The settings.
    pub(crate) fn config(&self) -> &AugmentConfig {
        &self.config
    }
}
