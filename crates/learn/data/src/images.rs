//! Decoded images in one block of memory.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::generated::Difficulty;
use crate::info::ImageShape;
use crate::mapping::Mapping;

/// Decoded images, `N x C x H x W` planar uint8, and their labels.
///
/// The pixels are owned or lie in a memory-mapped cache file; readers cannot tell the difference.
#[derive(Debug)]
pub struct Images {
    shape: ImageShape,
    pixels: Pixels,
    labels: Vec<i32>,
    paths: Vec<PathBuf>,
    difficulties: Vec<Difficulty>,
    skipped: Vec<Skipped>,
}

#[derive(Debug)]
enum Pixels {
    Owned(Vec<u8>),
    /// The pixels start this many bytes into the file.
    Mapped(Mapping, usize),
}

/// An image that was left out because it could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl Images {
    /// Images that lie in memory.
    ///
    /// # Errors
    /// [`DataError::Config`] if `pixels` is not `labels.len()` images of `shape`.
    pub fn owned(shape: ImageShape, pixels: Vec<u8>, labels: Vec<i32>) -> Result<Self, DataError> {
        check_length(shape, pixels.len(), labels.len())?;
        Ok(Self::from_parts(shape, Pixels::Owned(pixels), labels))
    }

    /// Images in a mapped file, from byte `offset` on.
    pub(crate) fn mapped(
        shape: ImageShape,
        mapping: Mapping,
        offset: usize,
        labels: Vec<i32>,
    ) -> Result<Self, DataError> {
        let available = mapping.bytes().len().saturating_sub(offset);
        check_length(
            shape,
            available.min(labels.len() * shape.bytes()),
            labels.len(),
        )?;
        Ok(Self::from_parts(
            shape,
            Pixels::Mapped(mapping, offset),
            labels,
        ))
    }

    fn from_parts(shape: ImageShape, pixels: Pixels, labels: Vec<i32>) -> Self {
        let (paths, difficulties, skipped) = Default::default();
        Self {
            shape,
            pixels,
            labels,
            paths,
            difficulties,
            skipped,
        }
    }

    /// Adds the file each image came from.
    pub(crate) fn with_paths(mut self, paths: Vec<PathBuf>) -> Self {
        debug_assert_eq!(paths.len(), self.len());
        self.paths = paths;
        self
    }

    /// Adds the difficulty of each image.
    pub(crate) fn with_difficulties(mut self, difficulties: Vec<Difficulty>) -> Self {
        debug_assert_eq!(difficulties.len(), self.len());
        self.difficulties = difficulties;
        self
    }

    /// Adds the images that were left out.
    pub(crate) fn with_skipped(mut self, skipped: Vec<Skipped>) -> Self {
        self.skipped = skipped;
        self
    }

    /// The number of images `N`.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// All pixels, `N x C x H x W`.
    pub fn pixels(&self) -> &[u8] {
        match &self.pixels {
            Pixels::Owned(pixels) => pixels,
            Pixels::Mapped(mapping, offset) => {
                &mapping.bytes()[*offset..*offset + self.len() * self.shape.bytes()]
            }
        }
    }

    /// Image `i`, `C x H x W`.
    ///
    /// # Panics
    /// If `i` is not below [`Images::len`].
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.shape.bytes();
        &self.pixels()[i * bytes..(i + 1) * bytes]
    }

    /// The label of image `i`; -1 if it has none.
    ///
    /// # Panics
    /// If `i` is not below [`Images::len`].
    pub fn label(&self, i: usize) -> i32 {
        self.labels[i]
    }

    /// All labels; -1 marks an image without one.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// The file image `i` came from, where each image has its own.
    pub fn path(&self, i: usize) -> Option<&Path> {
        self.paths.get(i).map(PathBuf::as_path)
    }

    /// The difficulty of image `i`; `None` for real images.
    pub fn difficulty(&self, i: usize) -> Option<Difficulty> {
        self.difficulties.get(i).copied()
    }

    /// The images that were left out under `on-error = "skip"`.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Whether the pixels lie in a memory-mapped cache file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.pixels, Pixels::Mapped(..))
    }
}

fn check_length(shape: ImageShape, bytes: usize, count: usize) -> Result<(), DataError> {
    if bytes == count * shape.bytes() {
        return Ok(());
    }
    Err(DataError::Config {
        key: "pixels",
        value: format!("{bytes} bytes"),
        rule: format!(
            "{count} images of {shape} take {} bytes",
            count * shape.bytes()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_slices_of_one_block() {
        let shape = ImageShape {
            channels: 3,
            height: 1,
            width: 2,
        };
        let images = Images::owned(shape, (0..12).collect(), vec![4, -1]).unwrap();
        assert_eq!(images.image(1), &[6, 7, 8, 9, 10, 11]);
        assert_eq!(
            (images.len(), images.label(1), images.path(0)),
            (2, -1, None)
        );
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let error = Images::owned(ImageShape::square(2), vec![0; 13], vec![0]).unwrap_err();
        assert!(error.to_string().contains("13 bytes"), "{error}");
    }
}
