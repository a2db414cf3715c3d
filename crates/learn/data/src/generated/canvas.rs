//! A small canvas with exact arithmetic.

use crate::rng::Stream;

/// A colour, each channel in `0..=255`.
pub(super) type Colour = [f32; 3];

/// Supersampling steps along each side of a pixel.
const STEPS: usize = 4;

/// A square image in floats; coordinates run from 0 to 1 over each side.
pub(super) struct Canvas {
    size: usize,
    pixels: Vec<Colour>,
}

/// The part of the canvas a thing can reach: left, top, right, bottom.
pub(super) type Bounds = (f32, f32, f32, f32);

/// The whole canvas.
pub(super) const EVERYWHERE: Bounds = (0.0, 0.0, 1.0, 1.0);

impl Canvas {
    /// A canvas of one colour.
    pub(crate) fn new(size: usize, colour: Colour) -> Self {
        Self {
            size,
            pixels: vec![colour; size * size],
        }
    }

    /// Paints the points that are `inside`, edges smoothed by sixteen samples per pixel. `colour` is
    /// called once per pixel, at its centre.
    pub(crate) fn paint(
        &mut self,
        (left, top, right, bottom): Bounds,
        inside: impl Fn(f32, f32) -> bool,
        colour: impl Fn(f32, f32) -> Colour,
    ) {
        let size = self.size as f32;
        let cell = |v: f32| (v * size).clamp(0.0, size) as usize;
        let (columns, rows) = (
            cell(left)..cell(right + 1.0 / size),
            cell(top)..cell(bottom + 1.0 / size),
        );
        for row in rows {
            for column in columns.clone() {
                let mut hits = 0;
                for sample in 0..STEPS * STEPS {
                    let part = |i: usize| (i as f32 + 0.5) / STEPS as f32;
                    let x = (column as f32 + part(sample % STEPS)) / size;
                    let y = (row as f32 + part(sample / STEPS)) / size;
                    hits += usize::from(inside(x, y));
                }
                if hits > 0 {
                    let cover = hits as f32 / (STEPS * STEPS) as f32;
                    let new = colour((column as f32 + 0.5) / size, (row as f32 + 0.5) / size);
                    let old = &mut self.pixels[row * self.size + column];
                    *old = blend(*old, new, cover);
                }
            }
        }
    }

    /// Draws the image `amount` of the way towards its mean colour.
    pub(crate) fn fade(&mut self, amount: f32) {
        let count = self.pixels.len() as f32;
        let mut mean = [0.0; 3];
        for pixel in &self.pixels {
            for (sum, value) in mean.iter_mut().zip(pixel) {
                *sum += value / count;
            }
        }
        for pixel in &mut self.pixels {
            *pixel = blend(*pixel, mean, amount);
        }
    }

    /// Adds bell-shaped noise to every value: the sum of four uniform draws, with a standard
    /// deviation of `deviation` levels.
    pub(crate) fn add_noise(&mut self, deviation: f32, stream: &mut Stream) {
        // Four draws from -128..=127, each with deviation sqrt((256^2 - 1) / 12) = 73.9.
        let scale = deviation / 147.8;
        for value in self.pixels.iter_mut().flatten() {
            let bits = stream.below(u32::MAX).to_le_bytes();
            let sum: i32 = bits.into_iter().map(|b| i32::from(b) - 128).sum();
            *value += (sum + 2) as f32 * scale;
        }
    }

    /// Rounds to planar uint8, `3 x size x size`.
    pub(crate) fn finish(&self, out: &mut [u8]) {
        for (channel, plane) in out.chunks_exact_mut(self.size * self.size).enumerate() {
            for (byte, pixel) in plane.iter_mut().zip(&self.pixels) {
                *byte = (pixel[channel] + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// `share` of the new colour over the old.
pub(super) fn blend(old: Colour, new: Colour, share: f32) -> Colour {
    std::array::from_fn(|i| old[i] + (new[i] - old[i]) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_smoothed_by_area() {
        let mut canvas = Canvas::new(4, [0.0; 3]);
        canvas.paint(EVERYWHERE, |x, _| x < 0.375, |_, _| [200.0; 3]);
        let mut out = [0; 48];
        canvas.finish(&mut out);
        assert_eq!(out[..4], [200, 100, 0, 0]);
        assert_eq!(out[44..], [200, 100, 0, 0]);
    }

    #[test]
    fn bounds_only_save_work() {
        let inside = |x: f32, y: f32| (x - 0.5).abs() < 0.2 && (y - 0.3).abs() < 0.1;
        let run = |bounds| {
            let mut canvas = Canvas::new(16, [10.0; 3]);
            canvas.paint(bounds, inside, |_, _| [250.0, 1.0, 2.0]);
            let mut out = [0; 768];
            canvas.finish(&mut out);
            out
        };
        assert_eq!(run(EVERYWHERE), run((0.3, 0.2, 0.7, 0.4)));
    }
}
