//! Generated images.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

pub(crate) fn solid(colour: [u8; 3]) -> DynamicImage {
    RgbImage::from_pixel(8, 8, Rgb(colour)).into()
}

pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A png of one colour.
pub(crate) fn png(colour: [u8; 3]) -> Vec<u8> {
    encode(&solid(colour), ImageFormat::Png)
}

pub(crate) const RED: [u8; 3] = [255, 0, 0];
pub(crate) const BLACK: [u8; 3] = [0, 0, 0];
/// Not clear to the first exits.
pub(crate) const DULL: [u8; 3] = [130, 100, 100];
