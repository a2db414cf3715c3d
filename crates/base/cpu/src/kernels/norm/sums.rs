//! Sums over rows: batch statistics, and the sums of the backward pass.

use super::apply::load;
use super::{GradientSums, Statistics, chunk_rows};
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Mean and biased variance of the columns of `x`, `[rows, channels]`.
///
/// The variance is the mean squared deviation from the mean of each chunk, plus
/// the spread of those means: no difference of large squares is taken.
pub fn statistics(x: &[f32], channels: usize) -> Statistics {
    let span = chunk_rows(channels) * channels;
    let chunks = x.len().div_ceil(span.max(1));
    let mut moments = Buffer::new(chunks * 2 * channels);
    let shared = Shared::new(&mut moments);
    for_each(chunks, |i| {
        let rows = &x[i * span..((i + 1) * span).min(x.len())];
        dispatch(Moments {
            rows,
            channels,
            // SAFETY: each chunk has a part of its own.
            out: unsafe { shared.slice(i * 2 * channels, 2 * channels) },
        });
    });
    let rows = (x.len() / channels.max(1)) as f64;
    let mut mean = vec![0.0f64; channels];
    for (i, chunk) in moments.chunks_exact(2 * channels).enumerate() {
        let share = (span.min(x.len() - i * span) / channels) as f64 / rows;
        for (mean, &m) in mean.iter_mut().zip(chunk) {
            *mean += share * f64::from(m);
        }
    }
    let mut variance = vec![0.0f64; channels];
    for (i, chunk) in moments.chunks_exact(2 * channels).enumerate() {
        let count = (span.min(x.len() - i * span) / channels) as f64;
        let (means, squares) = chunk.split_at(channels);
        for c in 0..channels {
            let shift = f64::from(means[c]) - mean[c];
            variance[c] += f64::from(squares[c]) + count * shift * shift;
        }
    }
    Statistics {
        mean: mean.iter().map(|&m| m as f32).collect(),
        variance: variance.iter().map(|&v| (v / rows) as f32).collect(),
    }
}

/// `sum g` and `sum g * (x - mean)` over the rows, where `g = dy`, or `dy` where
/// the output `gate` is positive if there is one.
pub fn gradient_sums(x: &[f32], dy: &[f32], gate: Option<&[f32]>, mean: &[f32]) -> GradientSums {
    let channels = mean.len();
    assert!(x.len() == dy.len() && gate.is_none_or(|g| g.len() == x.len()));
    let span = chunk_rows(channels) * channels;
    let chunks = x.len().div_ceil(span.max(1));
    let mut parts = Buffer::new(chunks * 2 * channels);
    let shared = Shared::new(&mut parts);
    for_each(chunks, |i| {
        let range = i * span..((i + 1) * span).min(x.len());
        dispatch(Gradients {
            x: &x[range.clone()],
            dy: &dy[range.clone()],
            gate: gate.map(|g| &g[range]),
            mean,
            // SAFETY: each chunk has a part of its own.
            out: unsafe { shared.slice(i * 2 * channels, 2 * channels) },
        });
    });
    let mut sums = GradientSums {
        gradient: vec![0.0; channels],
        product: vec![0.0; channels],
    };
    for chunk in parts.chunks_exact(2 * channels) {
        for c in 0..channels {
            sums.gradient[c] += f64::from(chunk[c]);
            sums.product[c] += f64::from(chunk[channels + c]);
        }
    }
    sums
}

/// Sums of the columns of `x`, `[rows, channels]`.
pub fn column_sums(x: &[f32], channels: usize) -> Vec<f64> {
    let span = chunk_rows(channels) * channels;
    let chunks = x.len().div_ceil(span.max(1));
    let mut parts = Buffer::new(chunks * channels);
    let shared = Shared::new(&mut parts);
    for_each(chunks, |i| {
        dispatch(Columns {
            rows: &x[i * span..((i + 1) * span).min(x.len())],
            // SAFETY: each chunk has a part of its own.
            out: unsafe { shared.slice(i * channels, channels) },
        });
    });
    let mut sums = vec![0.0f64; channels];
    for chunk in parts.chunks_exact(channels.max(1)) {
        for (sum, &part) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(part);
        }
    }
    sums
}

/// A vector of `K` quantities at one place of the rows, to be summed over the rows.
trait Terms<S: Simd, const K: usize> {
    /// The quantities at `at`, a place in the rows, for the channels `channel..channel + lanes`.
    ///
    /// # Safety
    /// `at + lanes` is within the rows and `channel + lanes` within the channels.
    unsafe fn at(&self, s: S, at: usize, channel: usize, lanes: usize) -> [S::V; K];
}

/// Sums of `terms` over `rows` rows; quantity `k` of channel `c` goes to `out[k * channels + c]`.
#[inline(always)]
fn sum_rows<S: Simd, const K: usize>(
    s: S,
    rows: usize,
    channels: usize,
    terms: &impl Terms<S, K>,
    scale: f32,
    out: &mut [f32],
) {
    let out = &mut out[..K * channels];
    for channel in (0..channels).step_by(LANES) {
        let lanes = LANES.min(channels - channel);
        // Four sums side by side hide the latency of an addition.
        let mut acc = [[s.splat(0.0); K]; 4];
        for row in 0..rows / 4 {
            for (u, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the row is one of `rows`, the channels are in range.
                let t = unsafe { terms.at(s, (row * 4 + u) * channels + channel, channel, lanes) };
                for k in 0..K {
                    acc[k] = s.add(acc[k], t[k]);
                }
            }
        }
        for row in rows / 4 * 4..rows {
            // SAFETY: as above.
            let t = unsafe { terms.at(s, row * channels + channel, channel, lanes) };
            for k in 0..K {
                acc[0][k] = s.add(acc[0][k], t[k]);
            }
        }
        for k in 0..K {
            let sum = s.add(s.add(acc[0][k], acc[1][k]), s.add(acc[2][k], acc[3][k]));
            let sum = s.mul(sum, s.splat(scale));
            // SAFETY: `k * channels + channel + lanes` is at most the length of `out`.
            unsafe { s.store_first(out.as_mut_ptr().add(k * channels + channel), sum, lanes) };
        }
    }
}

struct Columns<'a> {
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.out.len();
        let rows = self.rows.len() / channels;
        sum_rows(s, rows, channels, &Value(self.rows), 1.0, self.out);
    }
}

struct Moments<'a> {
    rows: &'a [f32],
    channels: usize,
    out: &'a mut [f32],
}

struct Value<'a>(&'a [f32]);

impl<S: Simd> Terms<S, 1> for Value<'_> {
    #[inline(always)]
    unsafe fn at(&self, s: S, at: usize, _: usize, lanes: usize) -> [S::V; 1] {
        // SAFETY: in range by the caller's promise.
        unsafe { [load(s, self.0.as_ptr().add(at), lanes)] }
    }
}

struct SquaredDeviation<'a> {
    rows: &'a [f32],
    mean: &'a [f32],
}

impl<S: Simd> Terms<S, 1> for SquaredDeviation<'_> {
    #[inline(always)]
    unsafe fn at(&self, s: S, at: usize, channel: usize, lanes: usize) -> [S::V; 1] {
        // SAFETY: in range by the caller's promise.
        unsafe {
            let x = load(s, self.rows.as_ptr().add(at), lanes);
            let mean = load(s, self.mean.as_ptr().add(channel), lanes);
            let d = s.sub(x, mean);
            [s.mul(d, d)]
        }
    }
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.channels;
        let count = self.rows.len() / channels;
        let (mean, squares) = self.out.split_at_mut(channels);
        let value = Value(self.rows);
        sum_rows(s, count, channels, &value, 1.0 / count as f32, mean);
        let terms = SquaredDeviation {
            rows: self.rows,
            mean,
        };
        sum_rows(s, count, channels, &terms, 1.0, squares);
    }
}

struct Gradients<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    gate: Option<&'a [f32]>,
    mean: &'a [f32],
    out: &'a mut [f32],
}

struct Gated<'a, const GATE: bool> {
    x: &'a [f32],
    dy: &'a [f32],
    gate: &'a [f32],
    mean: &'a [f32],
}

impl<S: Simd, const GATE: bool> Terms<S, 2> for Gated<'_, GATE> {
    #[inline(always)]
    unsafe fn at(&self, s: S, at: usize, channel: usize, lanes: usize) -> [S::V; 2] {
        // SAFETY: in range by the caller's promise; all slices have the length of `x`.
        unsafe {
            let x = load(s, self.x.as_ptr().add(at), lanes);
            let mut g = load(s, self.dy.as_ptr().add(at), lanes);
            if GATE {
                g = s.where_positive(load(s, self.gate.as_ptr().add(at), lanes), g);
            }
            let mean = load(s, self.mean.as_ptr().add(channel), lanes);
            [g, s.mul(g, s.sub(x, mean))]
        }
    }
}

impl Kernel for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            x,
            dy,
            gate,
            mean,
            out,
        } = self;
        let channels = mean.len();
        let rows = x.len() / channels;
        match gate {
            Some(gate) => {
                let terms = Gated::<true> { x, dy, gate, mean };
                sum_rows(s, rows, channels, &terms, 1.0, out);
            }
            None => {
                let gate = &[];
                let terms = Gated::<false> { x, dy, gate, mean };
                sum_rows(s, rows, channels, &terms, 1.0, out);
            }
        }
    }
}
