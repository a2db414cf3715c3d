//! Image files decoded, and brought to a network's size.
//!
//! One rule for every reader: data sets, the program, the service, and the browser, where nothing else of
//! the data crate can be.

mod decode;

pub use decode::{DecodeError, decode, decode_file};

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// Scales an image, at its own proportions, until it just covers the size, and cuts out the centre.
///
/// Bicubic with `a = -0.5`, widened when shrinking so that no pixel is skipped. An image of the right
/// size is not touched.
///
/// # Panics
/// When a side of the image or of the size is 0.
pub fn cover(image: RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image;
    }
    let (from_width, from_height) = (u64::from(image.width()), u64::from(image.height()));
    let (to_width, to_height) = (u64::from(width), u64::from(height));
    // The side that decides: compare the two scale factors by cross multiplication.
    let by_width = to_width * from_height >= to_height * from_width;
    let divide = |a: u64, b: u64| (a + b / 2) / b;
    let (w, h) = if by_width {
        (
            to_width,
            divide(from_height * to_width, from_width).max(to_height),
        )
    } else {
        (
            divide(from_width * to_height, from_height).max(to_width),
            to_height,
        )
    };
    // Cut before scaling: a panorama must not become an image of a million columns.
    let part = |from: u64, to: u64, scaled: u64| divide(from * to, scaled).clamp(1, from);
    let (part_width, part_height) = (
        part(from_width, to_width, w),
        part(from_height, to_height, h),
    );
    let (x, y) = (
        (from_width - part_width) / 2,
        (from_height - part_height) / 2,
    );
    let centre = imageops::crop_imm(
        &image,
        x as u32,
        y as u32,
        part_width as u32,
        part_height as u32,
    );
    imageops::resize(&*centre, width, height, FilterType::CatmullRom)
}

/// The middle of an image; the smaller half of an odd rest lies left and above.
///
/// # Panics
/// When the image is smaller.
pub fn centre(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (x, y) = ((image.width() - width) / 2, (image.height() - height) / 2);
    imageops::crop_imm(image, x, y, width, height).to_image()
}

/// Writes an image as planes, red first.
///
/// # Shapes
/// - `planes`: `[3, H, W]`
pub fn to_planes(image: &RgbImage, planes: &mut [u8]) {
    let (red, rest) = planes.split_at_mut(planes.len() / 3);
    let (green, blue) = rest.split_at_mut(rest.len() / 2);
    let pixels = image.as_raw().chunks_exact(3);
    for (((pixel, r), g), b) in pixels.zip(red).zip(green).zip(blue) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
    }
}

/// The image of planes.
///
/// # Shapes
/// - `planes`: `[3, H, W]`
///
/// # Panics
/// When there are fewer bytes.
pub fn from_planes(planes: &[u8], width: u32, height: u32) -> RgbImage {
    let plane = width as usize * height as usize;
    RgbImage::from_fn(width, height, |x, y| {
        let at = y as usize * width as usize + x as usize;
        Rgb([planes[at], planes[plane + at], planes[2 * plane + at]])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x + y) as u8]))
    }

    #[test]
    fn an_image_of_the_right_size_is_not_touched() {
        let image = ramp(7, 5);
        assert_eq!(cover(image.clone(), 7, 5), image);
        let mut planes = vec![0; 105];
        to_planes(&image, &mut planes);
        assert_eq!(planes[..3], [0, 1, 2]);
        assert_eq!(from_planes(&planes, 7, 5), image);
    }

    #[test]
    fn the_middle_is_the_middle() {
        let middle = centre(&ramp(9, 8), 4, 3);
        assert_eq!((middle.dimensions(), middle[(0, 0)].0), ((4, 3), [2, 2, 4]));
        let wide = cover(ramp(60, 20), 20, 20);
        assert_eq!((wide[(0, 0)].0[0], wide[(19, 0)].0[0]), (20, 39));
    }

    #[test]
    fn extreme_proportions_take_no_memory() {
        assert_eq!(cover(ramp(30_000, 1), 64, 64).dimensions(), (64, 64));
        assert_eq!(cover(ramp(1, 30_000), 64, 64).dimensions(), (64, 64));
    }
}
