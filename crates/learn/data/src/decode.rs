//! Decoding one image file to planar RGB of a given size.

use std::path::Path;

use image::RgbImage;
use offramp_picture::{DecodeError, from_planes, to_planes};

use crate::error::DataError;
use crate::info::ImageShape;

/// Where an encoded image is.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In a file.
    Path(&'a Path),
    /// In memory.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a Path> for Source<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Path(path)
    }
}

impl<'a> From<&'a std::path::PathBuf> for Source<'a> {
    fn from(path: &'a std::path::PathBuf) -> Self {
        Self::Path(path)
    }
}

impl<'a> From<&'a [u8]> for Source<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

/// Decodes a png, jpeg, webp or bmp to planar RGB.
///
/// The shape is reached by the rule that every reader of this crate uses: scale the image, at
/// its own proportions, until it just covers the shape (bicubic with `a = -0.5`, widened when
/// shrinking so that no pixel is skipped), then cut out the centre. An image of the right size is
/// not touched. Grey becomes RGB, 16 bits become 8, transparency is dropped, and the orientation
/// noted by a camera is applied. The format is detected from the content, not from the file's name.
///
/// # Shapes
/// returns `C x H x W` of `shape`, red plane first.
///
/// # Errors
/// [`DataError::Io`] if the file cannot be read, [`DataError::Decode`] if it is damaged, truncated
/// or of another format, [`DataError::Config`] if `shape` does not have three channels.
pub fn decode_image<'a>(
    source: impl Into<Source<'a>>,
    shape: ImageShape,
) -> Result<Vec<u8>, DataError> {
    let mut planes = vec![0; shape.bytes()];
    decode_into(source.into(), shape, &mut planes)?;
    Ok(planes)
}

/// [`decode_image`] into a given place.
pub(crate) fn decode_into(
    source: Source<'_>,
    shape: ImageShape,
    planes: &mut [u8],
) -> Result<(), DataError> {
    if shape.channels != 3 || shape.plane() == 0 {
        let rule = "images are decoded to 3 channels and at least one pixel".into();
        return Err(DataError::Config {
            key: "shape",
            value: shape.to_string(),
            rule,
        });
    }
    let image = match source {
        Source::Bytes(bytes) => offramp_picture::decode(bytes),
        Source::Path(path) => offramp_picture::decode_file(path),
    };
    let image = image.map_err(|error| match error {
        DecodeError::Io { path, source } => DataError::io("read", &path, source),
        DecodeError::Format { path, reason } => DataError::Decode { path, reason },
    })?;
    to_planes(&cover(image, shape), planes);
    Ok(())
}

/// Scales until the image just covers the shape and cuts out the centre.
fn cover(image: RgbImage, shape: ImageShape) -> RgbImage {
    offramp_picture::cover(image, shape.width as u32, shape.height as u32)
}

/// [`decode_image`]'s rule of size for an image that is already planar.
pub(crate) fn resize_planes(planes: &[u8], from: ImageShape, to: ImageShape, out: &mut [u8]) {
    let image = from_planes(planes, from.width as u32, from.height as u32);
    to_planes(&cover(image, to), out);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb};

    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x + y) as u8]))
    }

    #[test]
    fn lossless_formats_keep_every_pixel() {
        let image = DynamicImage::from(ramp(5, 4));
        let shape = ImageShape {
            channels: 3,
            height: 4,
            width: 5,
        };
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let planes = decode_image(&encoded(&image, format)[..], shape).unwrap();
            for (i, &value) in planes.iter().enumerate() {
                let (c, y, x) = (i / 20, i / 5 % 4, i % 5);
                assert_eq!(usize::from(value), [x, y, x + y][c], "{format:?} at {i}");
            }
        }
    }

    #[test]
    fn grey_becomes_three_equal_planes() {
        let grey = DynamicImage::from(GrayImage::from_fn(8, 8, |x, y| Luma([(16 * x + y) as u8])));
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let planes = decode_image(&encoded(&grey, format)[..], ImageShape::square(8)).unwrap();
            assert_eq!(planes[..64], planes[64..128]);
            assert_eq!(planes[..64], planes[128..]);
        }
    }

    /// The red plane of a horizontal ramp tells which columns survived.
    #[test]
    fn wide_images_lose_their_sides_and_tall_ones_their_ends() {
        let shape = ImageShape::square(20);
        let wide = encoded(&ramp(60, 20).into(), ImageFormat::Png);
        let planes = decode_image(&wide[..], shape).unwrap();
        assert_eq!((planes[0], planes[19]), (20, 39));
        let tall = encoded(&ramp(20, 60).into(), ImageFormat::Png);
        let planes = decode_image(&tall[..], shape).unwrap();
        assert_eq!((planes[400], planes[400 + 19 * 20]), (20, 39));
    }

    #[test]
    fn extreme_proportions_take_no_memory() {
        let line = encoded(&ramp(4000, 1).into(), ImageFormat::Png);
        assert_eq!(
            decode_image(&line[..], ImageShape::square(64))
                .unwrap()
                .len(),
            64 * 64 * 3
        );
    }

    #[test]
    fn every_truncation_of_a_jpeg_is_an_error() {
        let bytes = encoded(&ramp(64, 64).into(), ImageFormat::Jpeg);
        let shape = ImageShape::square(64);
        decode_image(&bytes[..], shape).unwrap();
        for length in (0..bytes.len() - 1).step_by(7) {
            assert!(
                decode_image(&bytes[..length], shape).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.png");
        std::fs::write(&path, "not an image").unwrap();
        let error = decode_image(&path, ImageShape::square(8))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("note.png") && error.contains("cannot decode"),
            "{error}"
        );
        std::fs::write(&path, "").unwrap();
        let error = decode_image(&path, ImageShape::square(8))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the file is empty"), "{error}");
        let gone = folder.path().join("gone.png");
        let error = decode_image(&gone, ImageShape::square(8))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cannot read") && error.contains("gone.png"),
            "{error}"
        );
    }
}
