//! From an image file to the input of a network.

use std::path::Path;

use image::RgbImage;
use offramp_graph::MapShape;
use offramp_picture::{DecodeError, centre, cover, decode, to_planes};

use crate::document::Fault;

/// How an image becomes an input of a network: the one rule of training, `predict`, the service, the browser
/// and Python.
///
/// The image is scaled at its own proportions until it just covers `resize`, the centre of that size is
/// cut out, then the centre of size `image`; bytes become `x = (byte / 255 - mean) / std`, per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageInput {
    /// Shape of an input.
    pub image: MapShape,
    /// The shape that an image file is brought to before the centre of shape `image` is cut out of it.
    pub resize: MapShape,
    /// Mean of the pixels (0 to 1), per channel, that is subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels, per channel, that is divided by.
    pub std: [f32; 3],
}

impl ImageInput {
    /// Checks every value.
    ///
    /// # Errors
    /// The first that cannot be: another number of channels than 3, an empty shape, one of too many pixels, one that is larger than
    /// what it is cut out of, a mean or standard deviation that is not finite, a standard deviation that is
    /// not positive.
    pub fn check(&self) -> Result<(), Fault> {
        for (name, shape) in [("image", self.image), ("resize", self.resize)] {
            if shape.channels != 3 {
                let rule = "images have 3 channels";
                return Err(Fault::new(format!("{name}.channels"), shape.channels, rule));
            }
            for (side, length) in [("height", shape.height), ("width", shape.width)] {
                if length == 0 || length > LONGEST {
                    let rule = format!("a side has 1 to {LONGEST} pixels");
                    return Err(Fault::new(format!("{name}.{side}"), length, rule));
                }
            }
            if shape.height as u64 * shape.width as u64 > MOST_PIXELS {
                let found = format!("{} x {}", shape.height, shape.width);
                let rule = format!("an image has at most {MOST_PIXELS} pixels");
                return Err(Fault::new(name, found, rule));
            }
        }
        let sides = [
            ("height", self.resize.height, self.image.height),
            ("width", self.resize.width, self.image.width),
        ];
        if let Some((side, from, to)) = sides.into_iter().find(|(_, from, to)| from < to) {
            let rule = format!("what the image is cut out of is smaller than the image's {to}");
            return Err(Fault::new(format!("resize.{side}"), from, rule));
        }
        for (channel, mean) in self.mean.iter().enumerate() {
            if !mean.is_finite() {
                let key = format!("mean[{channel}]");
                return Err(Fault::new(key, format!("{mean:?}"), "a mean is finite"));
            }
        }
        for (channel, std) in self.std.iter().enumerate() {
            if !(std.is_finite() && *std > 0.0) {
                let key = format!("std[{channel}]");
                let rule = "a standard deviation is finite and above 0";
                return Err(Fault::new(key, format!("{std:?}"), rule));
            }
        }
        Ok(())
    }

    /// Values of an input: `C * H * W`.
    pub fn len(&self) -> usize {
        self.image.channels * self.image.height * self.image.width
    }

    /// Whether an input has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes the bytes of a png, jpeg, webp, bmp or gif as the evaluation loader does.
    ///
    /// # Shapes
    /// - output: planar bytes `[3, H, W]`
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are damaged, truncated or of another format.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(self.planes(decode(bytes)?))
    }

    /// As [`decode`](Self::decode), of a file.
    ///
    /// # Errors
    /// [`DecodeError`] that names the file.
    pub fn decode_file(&self, path: &Path) -> Result<Vec<u8>, DecodeError> {
        Ok(self.planes(offramp_picture::decode_file(path)?))
    }

    /// An image that is decoded already, brought to the network's size.
    ///
    /// # Shapes
    /// - output: planar bytes `[3, H, W]`
    pub fn planes(&self, image: RgbImage) -> Vec<u8> {
        let size = |shape: MapShape| (shape.width as u32, shape.height as u32);
        let (width, height) = size(self.resize);
        let mut image = cover(image, width, height);
        if self.resize != self.image {
            let (width, height) = size(self.image);
            image = centre(&image, width, height);
        }
        let mut planes = vec![0; self.len()];
        to_planes(&image, &mut planes);
        planes
    }

    /// Planar bytes of images as the network reads them, `[N, 3, H, W]`.
    pub fn normalise(&self, bytes: &[u8]) -> Vec<f32> {
        let plane = self.image.height * self.image.width;
        normalise(bytes, plane, self.mean, self.std)
    }
}

/// The longest side of an image that a network reads.
const LONGEST: usize = 1 << 16;

/// The most pixels of an image that a network reads, 4096 x 4096.
const MOST_PIXELS: u64 = 1 << 24;

/// Planar bytes `[N, 3, H, W]`, `plane = H * W`, as a network reads them: `x = (byte / 255 - mean) / std`, per
/// channel, with the very operations of training: `byte * 1 / (255 std) - mean / std` in `f32`.
pub fn normalise(bytes: &[u8], plane: usize, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let scale = std.map(|s| 1.0 / (255.0 * s));
    let shift = [0, 1, 2].map(|c| mean[c] / std[c]);
    let mut values = Vec::with_capacity(bytes.len());
    for (i, bytes) in bytes.chunks(plane.max(1)).enumerate() {
        let (scale, shift) = (scale[i % 3], shift[i % 3]);
        values.extend(bytes.iter().map(|&byte| f32::from(byte) * scale - shift));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> ImageInput {
        ImageInput {
            image: MapShape::new(3, 4, 4),
            resize: MapShape::new(3, 6, 6),
            mean: [0.0, 0.2, 0.5],
            std: [1.0, 0.5, 0.25],
        }
    }

    #[test]
    fn every_channel_has_its_own_mean_and_std() {
        let input = ImageInput {
            image: MapShape::new(3, 1, 2),
            ..input()
        };
        let x = input.normalise(&[0, 255, 51, 102, 0, 255]);
        for (x, expected) in x.iter().zip([0.0, 1.0, 0.0, 0.4, -2.0, 2.0]) {
            assert!((x - expected).abs() < 1e-6, "{x} {expected}");
        }
    }

    #[test]
    fn an_image_is_resized_and_its_centre_cut_out() {
        let image = RgbImage::from_fn(6, 6, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let planes = input().planes(image);
        assert_eq!(planes[..4], [1, 2, 3, 4]);
        assert_eq!(planes[16..20], [1, 1, 1, 1]);
        assert_eq!(planes[32..], [9; 16]);
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert_eq!(input().check(), Ok(()));
        let fault = |change: fn(&mut ImageInput)| {
            let mut input = input();
            change(&mut input);
            input.check().unwrap_err().key
        };
        assert_eq!(fault(|i| i.image.channels = 1), "image.channels");
        assert_eq!(fault(|i| i.resize.width = 3), "resize.width");
        assert_eq!(fault(|i| i.image.height = 0), "image.height");
        assert_eq!(fault(|i| i.resize.width = 1 << 17), "resize.width");
        let square = |side| MapShape::new(3, side, side);
        let large = ImageInput {
            image: square(1 << 16),
            resize: square(1 << 16),
            ..input()
        };
        let error = large.check().unwrap_err().to_string();
        assert!(error.starts_with("`image` is 65536 x 65536: "), "{error}");
        let large = ImageInput {
            resize: MapShape::new(3, 4097, 4096),
            ..input()
        };
        assert_eq!(large.check().unwrap_err().key, "resize");
        let largest = ImageInput {
            resize: square(4096),
            ..input()
        };
        assert_eq!(largest.check(), Ok(()));
        assert_eq!(fault(|i| i.mean[2] = f32::NAN), "mean[2]");
        assert_eq!(fault(|i| i.std[1] = 0.0), "std[1]");
    }
}
