//! Mean and standard deviation of the pixels.

use rayon::prelude::*;

use crate::images::Images;

/// Mean and standard deviation (of the population) of each channel, pixels scaled to `[0, 1]`.
///
/// Sums are integers, so the result does not depend on the number of threads. A channel without
/// variation gets the deviation of one level, 1/255, so that dividing by it is safe.
pub fn channel_statistics(images: &Images) -> ([f32; 3], [f32; 3]) {
    let plane = images.shape().plane();
    let sums = images
        .pixels()
        .par_chunks(images.shape().bytes().max(1))
        .map(|image| {
            let mut sums = [(0u64, 0u64); 3];
            for (channel, values) in image.chunks_exact(plane).enumerate() {
                for &value in values {
                    let value = u64::from(value);
                    sums[channel % 3].0 += value;
                    sums[channel % 3].1 += value * value;
                }
            }
            sums
        })
        .reduce(
            || [(0, 0); 3],
            |a, b| std::array::from_fn(|i| (a[i].0 + b[i].0, a[i].1 + b[i].1)),
        );
    let count = (images.len() * plane).max(1) as f64;
    let mean = sums.map(|(sum, _)| sum as f64 / count / 255.0);
    let std: [f64; 3] = std::array::from_fn(|i| {
        let variance = sums[i].1 as f64 / count / (255.0 * 255.0) - mean[i] * mean[i];
        variance.max(0.0).sqrt().max(1.0 / 255.0)
    });
    (mean.map(|m| m as f32), std.map(|s| s as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::ImageShape;

    #[test]
    fn of_a_few_pixels() {
        let shape = ImageShape {
            channels: 3,
            height: 1,
            width: 2,
        };
        let pixels = vec![0, 255, 51, 51, 0, 102, 255, 0, 51, 51, 204, 102];
        let images = Images::owned(shape, pixels, vec![0, 1]).unwrap();
        let (mean, std) = channel_statistics(&images);
        let want = [(mean[0], 0.5), (mean[1], 0.2), (mean[2], 0.4)];
        // Blue: 0, 0.4, 0.8, 0.4 has variance (0.16 + 0 + 0.16 + 0) / 4 = 0.08.
        let want = want.into_iter().chain([
            (std[0], 0.5),
            (std[1], 1.0 / 255.0),
            (std[2], 0.08f32.sqrt()),
        ]);
        for (got, want) in want {
            assert!((got - want).abs() < 1e-6, "{got} for {want}");
        }
    }
}
