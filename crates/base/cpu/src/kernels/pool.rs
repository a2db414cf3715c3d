//! Pooling over dense channels-last maps.

use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, Simd, dispatch};

/// A pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Step.
    pub stride: [usize; 2],
    /// Positions outside the map on every side, which do not count.
    pub padding: [usize; 2],
}

impl Window {
    /// `[N, C, H_out, W_out]` for an input `[N, C, H, W]`.
    ///
    /// # Panics
    /// If the window does not fit, or could lie wholly outside the map.
    pub fn output(&self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        let size = |axis: usize, len: usize| {
            let padded = len + 2 * self.padding[axis];
            assert!(
                self.stride[axis] > 0
                    && self.kernel[axis] <= padded
                    && self.padding[axis] < self.kernel[axis],
                "a pooling window {self:?} does not fit {len} positions (axis {axis})"
            );
            (padded - self.kernel[axis]) / self.stride[axis] + 1
        };
        [n, c, size(0, h), size(1, w)]
    }

    /// The positions of the map in the window of output `at`, on an axis of length `len`.
    fn range(&self, axis: usize, at: usize, len: usize) -> std::ops::Range<usize> {
        let start = at * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]);
        start.saturating_sub(self.padding[axis])..end.min(len)
    }
}

/// What a pooling pass does with each pair of an output and an input of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over the window.
    Average,
    /// The maximum; of equal values the first receives the gradient.
    Maximum,
}

/// `out` from `x`, both channels-last; `shape` is that of `x`.
pub fn forward(pooling: Pooling, window: Window, shape: [usize; 4], x: &[f32], out: &mut [f32]) {
    let output = window.output(shape);
    assert_eq!(x.len(), shape.iter().product::<usize>(), "input length");
    assert_eq!(out.len(), output.iter().product::<usize>(), "output length");
    let image = shape[1] * shape[2] * shape[3];
    let out_image = output[1] * output[2] * output[3];
    let out = Shared::new(out);
    for_each(shape[0], |n| {
        dispatch(Forward {
            pooling,
            window,
            shape,
            x: &x[n * image..(n + 1) * image],
            // SAFETY: every image has a part of its own.
            out: unsafe { out.slice(n * out_image, out_image) },
        });
    });
}

/// `dx` from `dy`; `x` and `y` are the forward pass's and only read for the maximum.
pub fn backward(
    pooling: Pooling,
    window: Window,
    shape: [usize; 4],
    [x, y, dy]: [&[f32]; 3],
    dx: &mut [f32],
) {
    let output = window.output(shape);
    let image = shape[1] * shape[2] * shape[3];
    let out_image = output[1] * output[2] * output[3];
    assert_eq!(dx.len(), shape[0] * image, "gradient length");
    assert_eq!(dy.len(), shape[0] * out_image, "gradient length");
    let dx = Shared::new(dx);
    for_each(shape[0], |n| {
        let part = |values: &'_ [f32], len: usize| -> std::ops::Range<usize> {
            if values.is_empty() {
                0..0
            } else {
                n * len..(n + 1) * len
            }
        };
        dispatch(Backward {
            pooling,
            window,
            shape,
            x: &x[part(x, image)],
            y: &y[part(y, out_image)],
            dy: &dy[part(dy, out_image)],
            // SAFETY: every image has a part of its own.
            dx: unsafe { dx.slice(n * image, image) },
        });
    });
}

struct Forward<'a> {
    pooling: Pooling,
    window: Window,
    shape: [usize; 4],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [_, c, h, w] = self.shape;
        let [_, _, rows, columns] = self.window.output(self.shape);
        for (place, out) in self
            .out
            .chunks_exact_mut(c)
            .enumerate()
            .take(rows * columns)
        {
            let ys = self.window.range(0, place / columns, h);
            let xs = self.window.range(1, place % columns, w);
            let share = 1.0 / (ys.len() * xs.len()) as f32;
            out.fill(match self.pooling {
                Pooling::Average => 0.0,
                Pooling::Maximum => f32::NEG_INFINITY,
            });
            for y in ys {
                for x in xs.clone() {
                    let from = &self.x[(y * w + x) * c..(y * w + x + 1) * c];
                    match self.pooling {
                        Pooling::Average => {
                            for (o, v) in out.iter_mut().zip(from) {
                                *o += v;
                            }
                        }
                        Pooling::Maximum => {
                            for (o, &v) in out.iter_mut().zip(from) {
                                // A NaN wins, as in PyTorch.
                                *o = if v > *o || v.is_nan() { v } else { *o };
                            }
                        }
                    }
                }
            }
            if self.pooling == Pooling::Average {
                for o in out {
                    *o *= share;
                }
            }
        }
    }
}

struct Backward<'a> {
    pooling: Pooling,
    window: Window,
    shape: [usize; 4],
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [_, c, h, w] = self.shape;
        let [_, _, rows, columns] = self.window.output(self.shape);
        self.dx.fill(0.0);
        // What is left of the gradient once the maximum is found.
        let mut left = vec![0.0f32; c];
        for place in 0..rows * columns {
            let dy = &self.dy[place * c..(place + 1) * c];
            let ys = self.window.range(0, place / columns, h);
            let xs = self.window.range(1, place % columns, w);
            match self.pooling {
                Pooling::Average => {
                    let share = 1.0 / (ys.len() * xs.len()) as f32;
                    for y in ys {
                        for x in xs.clone() {
                            let dx = &mut self.dx[(y * w + x) * c..(y * w + x + 1) * c];
                            for (d, g) in dx.iter_mut().zip(dy) {
                                *d += g * share;
                            }
                        }
                    }
                }
                Pooling::Maximum => {
                    left.copy_from_slice(dy);
                    let top = &self.y[place * c..(place + 1) * c];
                    for y in ys {
                        for x in xs.clone() {
                            let at = (y * w + x) * c..(y * w + x + 1) * c;
                            let (x, dx) = (&self.x[at.clone()], &mut self.dx[at]);
                            for i in 0..c {
                                let hit = x[i] == top[i];
                                dx[i] += if hit { left[i] } else { 0.0 };
                                left[i] = if hit { 0.0 } else { left[i] };
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close};

    /// All input places a window covers, by the definition.
    fn places(window: Window, shape: [usize; 4], oy: usize, ox: usize) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let y = (oy * window.stride[0] + ky).checked_sub(window.padding[0]);
                let x = (ox * window.stride[1] + kx).checked_sub(window.padding[1]);
                if let (Some(y), Some(x)) = (y, x)
                    && y < shape[2]
                    && x < shape[3]
                {
                    places.push((y, x));
                }
            }
        }
        places
    }

    #[test]
    fn random_windows() {
        let random = &mut Random::new(7);
        for _ in 0..60 {
            let kernel = [random.within(1, 4), random.within(1, 4)];
            let window = Window {
                kernel,
                stride: [random.within(1, 3), random.within(1, 3)],
                padding: kernel.map(|k| random.within(0, (k - 1).min(1))),
            };
            let shape = [
                random.within(1, 3),
                random.within(1, 20),
                random.within(4, 9),
                random.within(4, 9),
            ];
            let [n, c, rows, columns] = window.output(shape);
            let x = random.values(shape.iter().product());
            let dy = random.values(n * c * rows * columns);
            for pooling in [Pooling::Average, Pooling::Maximum] {
                let mut y = vec![f32::NAN; dy.len()];
                forward(pooling, window, shape, &x, &mut y);
                let mut dx = vec![f32::NAN; x.len()];
                backward(pooling, window, shape, [&x, &y, &dy], &mut dx);
                let (mut expected, mut gradient) = (vec![0.0; y.len()], vec![0.0; x.len()]);
                for (i, out) in expected.iter_mut().enumerate() {
                    let (ch, place) = (i % c, i / c);
                    let (image, oy, ox) = (
                        place / (rows * columns),
                        place / columns % rows,
                        place % columns,
                    );
                    let places = places(window, shape, oy, ox);
                    let at =
                        |(y, x): (usize, usize)| ((image * shape[2] + y) * shape[3] + x) * c + ch;
                    let value = |p| f64::from(x[at(p)]);
                    let dy = f64::from(dy[i]);
                    match pooling {
                        Pooling::Average => {
                            let share = 1.0 / places.len() as f64;
                            *out = places.iter().map(|&p| value(p) * share).sum();
                            places.iter().for_each(|&p| gradient[at(p)] += dy * share);
                        }
                        Pooling::Maximum => {
                            let most = places.iter().map(|&p| value(p)).fold(f64::MIN, f64::max);
                            *out = most;
                            let first = places.iter().find(|&&p| value(p) == most);
                            gradient[at(*first.expect("a maximum"))] += dy;
                        }
                    }
                }
                let what = format!("{pooling:?} {window:?} on {shape:?}");
                assert_close(&y, &expected, 1e-6, &what);
                assert_close(&dx, &gradient, 1e-6, &what);
            }
        }
    }
}
