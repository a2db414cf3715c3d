//! Random-resized crop: a random window, resampled with a triangle filter.

use super::config::ResizedCrop;
use crate::info::ImageShape;
use crate::rng::Stream;

/// A rectangle inside an image: top, left, height, width.
pub(super) type Rectangle = (usize, usize, usize, usize);

/// A rectangle of random area and shape that lies inside the image; `None` if ten tries did not
/// fit.
pub(super) fn random_rectangle(
    [low, high]: [f64; 2],
    [narrow, wide]: [f64; 2],
    shape: ImageShape,
    stream: &mut Stream,
) -> Option<Rectangle> {
    let area = shape.plane() as f64;
    for _ in 0..10 {
        let target = area * stream.uniform(low, high);
        let ratio = stream.uniform(narrow.ln(), wide.ln()).exp();
        let width = (target * ratio).sqrt().round() as usize;
        let height = (target / ratio).sqrt().round() as usize;
        if (1..=shape.width).contains(&width) && (1..=shape.height).contains(&height) {
            let top = stream.below((shape.height - height + 1) as u32) as usize;
            let left = stream.below((shape.width - width + 1) as u32) as usize;
            return Some((top, left, height, width));
        }
    }
    None
}

/// The window of a random-resized crop. Where none fits, the largest centre window of a permitted
/// shape, as PyTorch does.
pub(super) fn random_window(
    settings: &ResizedCrop,
    shape: ImageShape,
    stream: &mut Stream,
) -> Rectangle {
    random_rectangle(settings.scale, settings.ratio, shape, stream).unwrap_or_else(|| {
        let (h, w) = (shape.height as f64, shape.width as f64);
        let ratio = (w / h).clamp(settings.ratio[0], settings.ratio[1]);
        let width = w.min(h * ratio).round().max(1.0) as usize;
        let height = h.min(w / ratio).round().max(1.0) as usize;
        (
            (shape.height - height) / 2,
            (shape.width - width) / 2,
            height,
            width,
        )
    })
}

/// For one output pixel: the first source pixel and the weights from there on.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// Triangle-filter weights from `length` source pixels to `count` output pixels. When shrinking
/// the triangle is widened by the factor, which averages instead of skipping pixels.
fn taps(length: usize, count: usize) -> Vec<Tap> {
    let factor = length as f64 / count as f64;
    let radius = factor.max(1.0);
    let tap = |i: usize| {
        let centre = (i as f64 + 0.5) * factor;
        let first = (centre - radius + 0.5).floor().max(0.0) as usize;
        let end = ((centre + radius + 0.5).floor() as usize).clamp(first + 1, length);
        let weight = |j: usize| (1.0 - (j as f64 + 0.5 - centre).abs() / radius).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        let weights = (first..end).map(|j| (weight(j) / sum) as f32).collect();
        Tap { first, weights }
    };
    (0..count).map(tap).collect()
}

/// Resamples a window of `image` to the whole of `out`, mirrored if `flip`.
pub(super) fn resample(
    image: &[u8],
    from: ImageShape,
    (top, left, height, width): Rectangle,
    out: &mut [u8],
    to: ImageShape,
    flip: bool,
) {
    let (columns, rows) = (taps(width, to.width), taps(height, to.height));
    // First along the rows, into `height` rows of the final width, then down the columns.
    let mut middle = vec![0f32; height * to.width];
    for channel in 0..to.channels {
        let plane = &image[channel * from.plane()..(channel + 1) * from.plane()];
        for (y, line) in middle.chunks_exact_mut(to.width).enumerate() {
            let source = &plane[(top + y) * from.width + left..][..width];
            for (value, tap) in line.iter_mut().zip(&columns) {
                let pixels = &source[tap.first..tap.first + tap.weights.len()];
                *value = pixels
                    .iter()
                    .zip(&tap.weights)
                    .map(|(&p, w)| f32::from(p) * w)
                    .sum();
            }
        }
        let target = &mut out[channel * to.plane()..(channel + 1) * to.plane()];
        for (line, tap) in target.chunks_exact_mut(to.width).zip(&rows) {
            for (x, pixel) in line.iter_mut().enumerate() {
                let column = middle[tap.first * to.width + x..].iter().step_by(to.width);
                let value: f32 = column.zip(&tap.weights).map(|(v, w)| v * w).sum();
                *pixel = (value + 0.5) as u8;
            }
            if flip {
                line.reverse();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    const FROM: ImageShape = ImageShape {
        channels: 1,
        height: 4,
        width: 8,
    };

    #[test]
    fn the_same_size_is_a_copy() {
        let image: Vec<u8> = (0..32).map(|i| i * 8).collect();
        let to = ImageShape {
            channels: 1,
            height: 2,
            width: 3,
        };
        let mut out = vec![0; 6];
        resample(&image, FROM, (1, 2, 2, 3), &mut out, to, false);
        assert_eq!(out, [80, 88, 96, 144, 152, 160]);
        resample(&image, FROM, (1, 2, 2, 3), &mut out, to, true);
        assert_eq!(out, [96, 88, 80, 160, 152, 144]);
    }

    /// Pillow 13.0: `Image.fromarray(a).resize((4, 2), Image.BILINEAR)` of
    /// `a[y, x] = 8 * (8 * y + x)` gives `[[52, 66, 82, 96], [152, 166, 182, 196]]`, and to
    /// `(16, 4)`, first row, `[0, 2, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 56]`.
    /// Pillow rounds to uint8 between the passes, this does not: hence the one level.
    #[test]
    fn agrees_with_pillow() {
        let image: Vec<u8> = (0..32).map(|i| i * 8).collect();
        let mut out = vec![0; 8];
        let to = ImageShape {
            channels: 1,
            height: 2,
            width: 4,
        };
        resample(&image, FROM, (0, 0, 4, 8), &mut out, to, false);
        let want = [52, 66, 82, 96, 152, 166, 182, 196];
        assert!(
            out.iter()
                .zip(want)
                .all(|(o, w): (&u8, u8)| o.abs_diff(w) <= 1),
            "{out:?}"
        );
        let mut out = vec![0; 64];
        let to = ImageShape {
            channels: 1,
            height: 4,
            width: 16,
        };
        resample(&image, FROM, (0, 0, 4, 8), &mut out, to, false);
        assert_eq!(
            out[..16],
            [0, 2, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 56]
        );
    }

    #[test]
    fn windows_lie_inside_and_obey_the_ranges() {
        let shape = ImageShape::square(64);
        let settings = ResizedCrop::default();
        let mut least = f64::MAX;
        for index in 0..500 {
            let mut stream = Stream::new(Purpose::Augment, 0, 0, index);
            let (top, left, height, width) = random_window(&settings, shape, &mut stream);
            assert!(top + height <= 64 && left + width <= 64);
            least = least.min((height * width) as f64 / 4096.0);
            let ratio = width as f64 / height as f64;
            assert!((0.7..1.45).contains(&ratio), "{ratio}");
        }
        assert!((0.07..0.15).contains(&least), "{least}");
    }

    #[test]
    fn a_shape_that_never_fits_falls_back_to_the_centre() {
        let shape = ImageShape {
            channels: 3,
            height: 2,
            width: 40,
        };
        let settings = ResizedCrop {
            scale: [1.0, 1.0],
            ..Default::default()
        };
        let mut stream = Stream::new(Purpose::Augment, 0, 0, 0);
        assert_eq!(random_window(&settings, shape, &mut stream), (0, 18, 2, 3));
    }
}
