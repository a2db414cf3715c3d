//! Operations on colour: those of RandAugment, with Pillow's definitions.

use crate::info::ImageShape;

/// `base + factor * (value - base)`, rounded and clamped: 1 keeps the value, 0 gives the base.
fn towards(base: f32, value: u8, factor: f32) -> u8 {
    (base + factor * (f32::from(value) - base) + 0.5).clamp(0.0, 255.0) as u8
}

/// Luma by ITU-R 601 in thousandths, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    ((sum + 500) / 1000) as u8
}

/// The luma of each pixel.
fn grey(image: &[u8], shape: ImageShape) -> Vec<u8> {
    let (red, rest) = image.split_at(shape.plane());
    let (green, blue) = rest.split_at(shape.plane());
    red.iter()
        .zip(green)
        .zip(blue)
        .map(|((&r, &g), &b)| luma(r, g, b))
        .collect()
}

fn apply_table(plane: &mut [u8], table: &[u8; 256]) {
    for value in plane {
        *value = table[usize::from(*value)];
    }
}

fn table(map: impl Fn(u8) -> u8) -> [u8; 256] {
    std::array::from_fn(|value| map(value as u8))
}

/// Scales all values.
pub(super) fn brightness(image: &mut [u8], factor: f32) {
    apply_table(image, &table(|value| towards(0.0, value, factor)));
}

/// Scales the distance of all values from the mean luma.
pub(super) fn contrast(image: &mut [u8], shape: ImageShape, factor: f32) {
    let sum: u64 = grey(image, shape).into_iter().map(u64::from).sum();
    let mean = (sum as f64 / shape.plane() as f64 + 0.5).floor() as f32;
    apply_table(image, &table(|value| towards(mean, value, factor)));
}

/// Scales the distance of each pixel from its own luma.
pub(super) fn colour(image: &mut [u8], shape: ImageShape, factor: f32) {
    let grey = grey(image, shape);
    for plane in image.chunks_exact_mut(shape.plane()) {
        for (value, &grey) in plane.iter_mut().zip(&grey) {
            *value = towards(f32::from(grey), *value, factor);
        }
    }
}

/// Scales the distance of each inner pixel from its smoothed value (weights 5 in the middle, 1
/// around it).
pub(super) fn sharpness(image: &mut [u8], shape: ImageShape, factor: f32) {
    let width = shape.width;
    for plane in image.chunks_exact_mut(shape.plane()) {
        let original = plane.to_vec();
        for row in 1..shape.height.saturating_sub(1) {
            for column in 1..width.saturating_sub(1) {
                let at = row * width + column;
                let around: u32 = [at - width, at, at + width]
                    .iter()
                    .flat_map(|&middle| &original[middle - 1..=middle + 1])
                    .map(|&v| u32::from(v))
                    .sum();
                let smooth = (around + 4 * u32::from(original[at])) as f32 / 13.0;
                plane[at] = towards((smooth + 0.5).floor(), original[at], factor);
            }
        }
    }
}

/// Inverts the values at or above the threshold.
pub(super) fn solarize(image: &mut [u8], threshold: u8) {
    // A threshold of 255 means "nothing is above": strength 0 must change nothing.
    if threshold < 255 {
        apply_table(image, &table(|v| if v >= threshold { 255 - v } else { v }));
    }
}

/// Keeps the given number of upper bits, 1 to 8.
pub(super) fn posterize(image: &mut [u8], bits: u32) {
    let mask = 0xffu8 << (8 - bits.clamp(1, 8));
    apply_table(image, &table(|value| value & mask));
}

/// Stretches each channel to the whole range.
pub(super) fn auto_contrast(image: &mut [u8], shape: ImageShape) {
    for plane in image.chunks_exact_mut(shape.plane()) {
        let low = plane.iter().copied().min().unwrap_or(0);
        let high = plane.iter().copied().max().unwrap_or(255);
        if low < high {
            let scale = 255.0 / f32::from(high - low);
            let stretch = |v: u8| (f32::from(v.saturating_sub(low)) * scale).min(255.0) as u8;
            apply_table(plane, &table(stretch));
        }
    }
}

/// Makes the histogram of each channel flat, as far as it goes.
pub(super) fn equalize(image: &mut [u8], shape: ImageShape) {
    for plane in image.chunks_exact_mut(shape.plane()) {
        let mut histogram = [0u32; 256];
        for &value in plane.iter() {
            histogram[usize::from(value)] += 1;
        }
        let last = histogram
            .iter()
            .rev()
            .find(|&&n| n > 0)
            .copied()
            .unwrap_or(0);
        let step = (plane.len() as u32 - last) / 255;
        if step == 0 {
            continue;
        }
        let mut sum = step / 2;
        let mut map = [0u8; 256];
        for (value, count) in map.iter_mut().zip(histogram) {
            *value = (sum / step).min(255) as u8;
            sum += count;
        }
        apply_table(plane, &map);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape::square(2);

    /// Planar; the four pixels are (10, 50, 90), (20, 60, 100), (30, 70, 110), (40, 80, 120).
    const IMAGE: [u8; 12] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120];

    /// Made with Pillow 13.0: `ImageEnhance.X(Image.fromarray(a)).enhance(0.5)` and
    /// `ImageOps.autocontrast`, `.solarize(im, 100)`, `.posterize(im, 3)`. Pillow truncates where
    /// this rounds, hence the tolerance of one level.
    #[test]
    fn agrees_with_pillow() {
        type Op = fn(&mut [u8]);
        let cases: [(&str, Op, [u8; 12]); 6] = [
            ("brightness", |p| brightness(p, 0.5), BRIGHTNESS),
            ("contrast", |p| contrast(p, SHAPE, 0.5), CONTRAST),
            ("colour", |p| colour(p, SHAPE, 0.5), COLOUR),
            ("auto contrast", |p| auto_contrast(p, SHAPE), AUTO_CONTRAST),
            ("solarize", |p| solarize(p, 100), SOLARIZE),
            ("posterize", |p| posterize(p, 3), POSTERIZE),
        ];
        for (name, op, want) in cases {
            let mut got = IMAGE;
            op(&mut got);
            let worst = got.iter().zip(want).map(|(g, w)| g.abs_diff(w)).max();
            assert!(worst <= Some(1), "{name}: {got:?}, Pillow {want:?}");
        }
    }

    const BRIGHTNESS: [u8; 12] = [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60];
    const CONTRAST: [u8; 12] = [34, 39, 44, 49, 54, 59, 64, 69, 74, 79, 84, 89];
    const COLOUR: [u8; 12] = [26, 36, 46, 56, 46, 56, 66, 76, 66, 76, 86, 96];
    const AUTO_CONTRAST: [u8; 12] = [0, 85, 170, 255, 0, 85, 170, 255, 0, 85, 170, 255];
    const SOLARIZE: [u8; 12] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 155, 145, 135];
    const POSTERIZE: [u8; 12] = [0, 0, 0, 32, 32, 32, 64, 64, 64, 96, 96, 96];
    const EQUALIZE: [u8; 8] = [0, 64, 128, 192, 255, 255, 255, 255];
    const SHARP: u8 = 155;

    /// Pillow 13.0: `ImageOps.equalize` of a 16x32 grey ramp `a[i] = i / 4` (i = 0..512), taken at
    /// every 64th pixel, and `ImageEnhance.Sharpness(..).enhance(2.0)` of the 3x3 image
    /// `[[10, 10, 10], [10, 100, 10], [10, 10, 10]]`.
    #[test]
    fn equalize_and_sharpness_agree_with_pillow() {
        let shape = ImageShape {
            channels: 1,
            height: 16,
            width: 32,
        };
        let mut ramp: Vec<u8> = (0..512).map(|i| (i / 4) as u8).collect();
        equalize(&mut ramp, shape);
        let every: Vec<u8> = ramp.into_iter().step_by(64).collect();
        assert_eq!(every, EQUALIZE);

        let shape = ImageShape {
            channels: 1,
            height: 3,
            width: 3,
        };
        let mut dot = vec![10, 10, 10, 10, 100, 10, 10, 10, 10];
        sharpness(&mut dot, shape, 2.0);
        assert_eq!(dot, [10, 10, 10, 10, SHARP, 10, 10, 10, 10]);
    }
}
