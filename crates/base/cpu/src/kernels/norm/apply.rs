//! Element passes: the normalised output, and the gradient in the input.

use super::chunk_rows;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// `(x - mean) * scale + shift`, a value each channel.
#[derive(Clone, Debug)]
pub struct Affine {
    /// Subtracted first.
    pub mean: Vec<f32>,
    /// Factor.
    pub scale: Vec<f32>,
    /// Added last.
    pub shift: Vec<f32>,
}

/// Chunks of one task of an element pass.
const CHUNKS: usize = 8;

/// `out = act((x - mean) * scale + shift + residual)`, rows of `affine.mean.len()` values;
/// `act` is the ReLU or the identity.
pub fn apply(x: &[f32], affine: &Affine, residual: Option<&[f32]>, relu: bool, out: &mut [f32]) {
    assert!(x.len() == out.len() && residual.is_none_or(|r| r.len() == x.len()));
    let out = Shared::new(out);
    in_parts(x.len(), affine.mean.len(), |start, len| {
        let range = start..start + len;
        dispatch(Apply {
            x: &x[range.clone()],
            affine,
            residual: residual.map(|r| &r[range]),
            relu,
            // SAFETY: parts do not overlap.
            out: unsafe { out.slice(start, len) },
        });
    });
}

/// `dx = (x - mean) * scale + (gain * g + shift)`, where `g = dy`, or `dy` where `gate` is
/// positive if there is one. `g` itself is stored in `gated` if wanted.
pub fn input_gradient(
    x: &[f32],
    dy: &[f32],
    gate: Option<&[f32]>,
    affine: &Affine,
    gain: &[f32],
    dx: &mut [f32],
    gated: Option<&mut [f32]>,
) {
    let len = x.len();
    assert!(len == dy.len() && len == dx.len() && gate.is_none_or(|g| g.len() == len));
    assert!(gated.as_ref().is_none_or(|g| g.len() == len));
    let dx = Shared::new(dx);
    let gated = gated.map(Shared::new);
    in_parts(len, affine.mean.len(), |start, len| {
        let range = start..start + len;
        dispatch(InputGradient {
            x: &x[range.clone()],
            dy: &dy[range.clone()],
            gate: gate.map(|g| &g[range]),
            affine,
            gain,
            // SAFETY: parts do not overlap.
            dx: unsafe { dx.slice(start, len) },
            // SAFETY: as above.
            gated: gated.map(|g| unsafe { g.slice(start, len) }),
        });
    });
}

/// Calls `task(start, len)` for parts of whole rows.
fn in_parts(len: usize, channels: usize, task: impl Fn(usize, usize) + Sync + Send) {
    let span = (CHUNKS * chunk_rows(channels) * channels).max(1);
    for_each(len.div_ceil(span), |i| {
        task(i * span, span.min(len - i * span));
    });
}

struct Apply<'a> {
    x: &'a [f32],
    affine: &'a Affine,
    residual: Option<&'a [f32]>,
    relu: bool,
    out: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.residual, self.relu) {
            (None, false) => self.rows::<S, false, false>(s, &[]),
            (None, true) => self.rows::<S, false, true>(s, &[]),
            (Some(r), false) => self.rows::<S, true, false>(s, r),
            (Some(r), true) => self.rows::<S, true, true>(s, r),
        }
    }
}

impl Apply<'_> {
    #[inline(always)]
    fn rows<S: Simd, const RESIDUAL: bool, const RELU: bool>(self, s: S, residual: &[f32]) {
        let Affine { mean, scale, shift } = self.affine;
        let channels = mean.len();
        let rows = self.x.len() / channels;
        for channel in (0..channels).step_by(LANES) {
            let lanes = LANES.min(channels - channel);
            // SAFETY: all addresses are `row * channels + channel .. + lanes` with
            // `row < rows`, within slices of `rows * channels` values, or a channel's.
            unsafe {
                let mean = s.load_first(mean.as_ptr().add(channel), lanes);
                let scale = s.load_first(scale.as_ptr().add(channel), lanes);
                let shift = s.load_first(shift.as_ptr().add(channel), lanes);
                let (x, out) = (self.x.as_ptr(), self.out.as_mut_ptr());
                for row in 0..rows {
                    let at = row * channels + channel;
                    let v = load(s, x.add(at), lanes);
                    let mut v = s.fma(s.sub(v, mean), scale, shift);
                    if RESIDUAL {
                        v = s.add(v, load(s, residual.as_ptr().add(at), lanes));
                    }
                    if RELU {
                        // In this order a NaN stays a NaN.
                        v = s.max(s.splat(0.0), v);
                    }
                    store(s, out.add(at), v, lanes);
                }
            }
        }
    }
}

struct InputGradient<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    gate: Option<&'a [f32]>,
    affine: &'a Affine,
    gain: &'a [f32],
    dx: &'a mut [f32],
    gated: Option<&'a mut [f32]>,
}

impl Kernel for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match (self.gate, self.gated.take()) {
            (None, None) => self.rows::<S, false, false>(s, &[], &mut []),
            (None, Some(out)) => self.rows::<S, false, true>(s, &[], out),
            (Some(gate), None) => self.rows::<S, true, false>(s, gate, &mut []),
            (Some(gate), Some(out)) => self.rows::<S, true, true>(s, gate, out),
        }
    }
}

impl InputGradient<'_> {
    #[inline(always)]
    fn rows<S: Simd, const GATE: bool, const KEEP: bool>(
        self,
        s: S,
        gate: &[f32],
        gated: &mut [f32],
    ) {
        let Affine { mean, scale, shift } = self.affine;
        let channels = mean.len();
        let rows = self.x.len() / channels;
        for channel in (0..channels).step_by(LANES) {
            let lanes = LANES.min(channels - channel);
            // SAFETY: as in `Apply::rows`.
            unsafe {
                let mean = s.load_first(mean.as_ptr().add(channel), lanes);
                let scale = s.load_first(scale.as_ptr().add(channel), lanes);
                let shift = s.load_first(shift.as_ptr().add(channel), lanes);
                let gain = s.load_first(self.gain.as_ptr().add(channel), lanes);
                let (x, dy) = (self.x.as_ptr(), self.dy.as_ptr());
                let dx = self.dx.as_mut_ptr();
                for row in 0..rows {
                    let at = row * channels + channel;
                    let mut g = load(s, dy.add(at), lanes);
                    if GATE {
                        g = s.where_positive(load(s, gate.as_ptr().add(at), lanes), g);
                    }
                    if KEEP {
                        store(s, gated.as_mut_ptr().add(at), g, lanes);
                    }
                    let x = load(s, x.add(at), lanes);
                    let v = s.fma(s.sub(x, mean), scale, s.fma(gain, g, shift));
                    store(s, dx.add(at), v, lanes);
                }
            }
        }
    }
}

/// Reads `lanes` values.
///
/// # Safety
/// `p..p + lanes` is readable, `lanes` at most 16.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(s: S, p: *const f32, lanes: usize) -> S::V {
    // SAFETY: the caller grants `lanes` readable values.
    unsafe {
        if lanes == LANES {
            s.load(p)
        } else {
            s.load_first(p, lanes)
        }
    }
}

/// Writes `lanes` values.
///
/// # Safety
/// `p..p + lanes` is writable, `lanes` at most 16.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, p: *mut f32, v: S::V, lanes: usize) {
    // SAFETY: the caller grants `lanes` writable values.
    unsafe {
        if lanes == LANES {
            s.store(p, v)
        } else {
            s.store_first(p, v, lanes)
        }
    }
}
