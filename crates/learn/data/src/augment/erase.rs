//! Covering part of an image: cutout and random erasing.

use super::config::Erasing;
use super::resample::random_rectangle;
use crate::info::ImageShape;
use crate::rng::Stream;

/// Covers a square of side `size` whose centre is any pixel; the part beyond the edge is lost.
pub(super) fn cutout(
    size: usize,
    shape: ImageShape,
    fill: [u8; 3],
    stream: &mut Stream,
    image: &mut [u8],
) {
    let mut span = |length: usize| {
        let start = stream.below(length as u32) as i32 - (size / 2) as i32;
        let end = start + size as i32;
        (start.max(0) as usize, end.clamp(0, length as i32) as usize)
    };
    let (rows, columns) = (span(shape.height), span(shape.width));
    cover(rows, columns, shape, fill, image);
}

/// Covers, with the configured probability, a rectangle of random area and shape that lies wholly
/// inside; as the original, gives up after ten rectangles that do not fit.
pub(super) fn random_erasing(
    settings: &Erasing,
    shape: ImageShape,
    fill: [u8; 3],
    stream: &mut Stream,
    image: &mut [u8],
) {
    if !stream.chance(settings.probability) {
        return;
    }
    let rectangle = random_rectangle(settings.scale, settings.ratio, shape, stream);
    if let Some((top, left, height, width)) = rectangle {
        cover(
            (top, top + height),
            (left, left + width),
            shape,
            fill,
            image,
        );
    }
}

fn cover(
    (top, bottom): (usize, usize),
    (left, right): (usize, usize),
    shape: ImageShape,
    fill: [u8; 3],
    image: &mut [u8],
) {
    for (channel, plane) in image.chunks_exact_mut(shape.plane()).enumerate() {
        for row in plane.chunks_exact_mut(shape.width).take(bottom).skip(top) {
            row[left..right.max(left)].fill(fill[channel % 3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    const SHAPE: ImageShape = ImageShape::square(16);

    fn covered(image: &[u8]) -> Vec<usize> {
        (0..256)
            .filter(|&i| [0, 256, 512].iter().all(|c| image[c + i] != 0))
            .collect()
    }

    /// The covered pixels of all channels are one filled rectangle with the fill colour.
    fn assert_rectangle(image: &[u8]) -> (usize, usize) {
        let pixels = covered(image);
        let rows: Vec<_> = pixels.iter().map(|i| i / 16).collect();
        let columns: Vec<_> = pixels.iter().map(|i| i % 16).collect();
        let extent = |v: &[usize]| v.iter().max().unwrap() - v.iter().min().unwrap() + 1;
        let (height, width) = (extent(&rows), extent(&columns));
        assert_eq!(height * width, pixels.len());
        assert!(pixels.iter().all(|i| (image[*i], image[512 + i]) == (1, 3)));
        (height, width)
    }

    #[test]
    fn cutout_is_a_clipped_square() {
        let mut full = 0;
        for index in 0..200 {
            let mut image = vec![0; SHAPE.bytes()];
            let mut stream = Stream::new(Purpose::Augment, 0, 0, index);
            cutout(8, SHAPE, [1, 2, 3], &mut stream, &mut image);
            let (height, width) = assert_rectangle(&image);
            assert!((4..=8).contains(&height) && (4..=8).contains(&width));
            full += usize::from((height, width) == (8, 8));
        }
        // A centre in rows 4..=12 and columns 4..=12 leaves the square whole: (9/16)^2 of 200.
        assert!((40..90).contains(&full), "{full}");
    }

    #[test]
    fn erasing_obeys_probability_and_area() {
        let settings = Erasing {
            probability: 0.5,
            ..Default::default()
        };
        let mut erased = 0;
        for index in 0..400 {
            let mut image = vec![0; SHAPE.bytes()];
            let mut stream = Stream::new(Purpose::Augment, 1, 0, index);
            random_erasing(&settings, SHAPE, [1, 2, 3], &mut stream, &mut image);
            if covered(&image).is_empty() {
                continue;
            }
            erased += 1;
            let (height, width) = assert_rectangle(&image);
            // Rounding of both sides may exceed the largest area of 0.33 * 256 = 84 slightly.
            assert!(height * width <= 96, "{height}x{width}");
        }
        assert!((150..250).contains(&erased), "{erased}");
    }
}
