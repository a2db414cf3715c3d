//! What [`Network::predict`](crate::Network::predict) takes for an image.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub use image::RgbImage;
use offramp_run::ImageInput;

use crate::Error;

/// An image: a file, the bytes of one, or pixels.
///
/// Files are png, jpeg, webp, bmp or gif. Images of any size are brought to the network's as in evaluation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Image<'a> {
    /// The path of an image file; paths and strings become this.
    File(Cow<'a, Path>),
    /// The bytes of an image file; byte slices become this.
    Bytes(&'a [u8]),
    /// An image that is decoded already.
    Pixels(RgbImage),
}

impl Image<'_> {
    /// Planar bytes `[3, H, W]` of the network's size.
    pub(crate) fn planes(self, input: &ImageInput) -> Result<Vec<u8>, Error> {
        match self {
            Self::File(path) => Ok(input.decode_file(&path)?),
            Self::Bytes(bytes) => Ok(input.decode(bytes)?),
            Self::Pixels(pixels) => {
                let (width, height) = pixels.dimensions();
                if width == 0 || height == 0 {
                    return Err(Error::EmptyImage { width, height });
                }
                Ok(input.planes(pixels))
            }
        }
    }
}

impl<'a> From<&'a Path> for Image<'a> {
    fn from(path: &'a Path) -> Self {
        Self::File(Cow::Borrowed(path))
    }
}

impl<'a> From<&'a PathBuf> for Image<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::File(Cow::Borrowed(path))
    }
}

impl From<PathBuf> for Image<'_> {
    fn from(path: PathBuf) -> Self {
        Self::File(Cow::Owned(path))
    }
}

impl<'a> From<&'a str> for Image<'a> {
    fn from(path: &'a str) -> Self {
        Self::File(Cow::Borrowed(Path::new(path)))
    }
}

impl<'a> From<&'a String> for Image<'a> {
    fn from(path: &'a String) -> Self {
        Self::File(Cow::Borrowed(Path::new(path)))
    }
}

impl From<String> for Image<'_> {
    fn from(path: String) -> Self {
        Self::File(Cow::Owned(path.into()))
    }
}

impl<'a> From<&'a [u8]> for Image<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Image<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<RgbImage> for Image<'_> {
    fn from(pixels: RgbImage) -> Self {
        Self::Pixels(pixels)
    }
}
