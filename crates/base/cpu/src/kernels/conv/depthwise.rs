//! Depthwise convolution: every channel has its own filter, a vector is sixteen of them.

use super::geometry::{Correlation, Geometry};
use super::source::Source;
use crate::kernels::map::{Map, channels_last_strides};
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// The batch is cut into this many chunks for the weight gradient. A constant, because the
/// chunks decide the order of summation.
const CHUNKS: usize = 16;

/// Output positions of a tile.
const POSITIONS: usize = 4;

/// Runs one correlation with filters `[channels, K_h, K_w]`, for the forward pass or a phase of
/// the input gradient. `out` is dense channels-last of shape `shape`.
pub(super) fn correlate(
    correlation: &Correlation,
    input: Map,
    weight: &[f32],
    kernel_width: usize,
    bias: Option<&[f32]>,
    accumulate: bool,
    (out, shape): (Shared, [usize; 4]),
) {
    let [images, channels, _, _] = input.shape();
    let [rows, columns] = correlation.out;
    if images * rows * columns == 0 {
        return;
    }
    let taps = correlation.taps.len();
    let kernel = weight.len() / channels;
    let blocks = channels.div_ceil(LANES);
    let mut packed = Buffer::zeroed(blocks * (taps + 1) * LANES);
    for c in 0..channels {
        let cell = &mut packed[c / LANES * (taps + 1) * LANES + c % LANES..];
        cell[0] = bias.map_or(0.0, |b| b[c]);
        for (t, tap) in correlation.taps.iter().enumerate() {
            let at = tap.kernel[0] * kernel_width + tap.kernel[1];
            cell[(t + 1) * LANES] = weight[c * kernel + at];
        }
    }
    let layout = Source::new(correlation, rows, LANES);
    let offsets: Vec<usize> = correlation
        .taps
        .iter()
        .map(|tap| layout.tap_offset(tap.offset))
        .collect();
    let groups = images.div_ceil(GROUP);
    for_each(groups * blocks, |i| {
        let (group, block) = (i / blocks, i % blocks);
        let first = group * GROUP;
        dispatch(Forward {
            correlation,
            layout: &layout,
            offsets: &offsets,
            input,
            images: [first, (first + GROUP).min(images)],
            block,
            weight: &packed[block * (taps + 1) * LANES..(block + 1) * (taps + 1) * LANES],
            accumulate,
            out,
            shape,
        });
    });
}

/// Images of a task.
const GROUP: usize = 4;

struct Forward<'a> {
    correlation: &'a Correlation,
    layout: &'a Source,
    offsets: &'a [usize],
    input: Map<'a>,
    images: [usize; 2],
    block: usize,
    /// Bias, then the weight of every tap.
    weight: &'a [f32],
    accumulate: bool,
    out: Shared<'a>,
    shape: [usize; 4],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.correlation.out;
        let [image, _, row, column] = channels_last_strides(self.shape);
        let lanes = LANES.min(self.shape[1] - self.block * LANES);
        let [first_y, first_x] = self.correlation.first;
        let [spread_y, spread_x] = self.correlation.spread;
        let step = column * spread_x;
        let mut cells = Buffer::new(self.layout.block_stride());
        for n in self.images[0]..self.images[1] {
            if !self.offsets.is_empty() {
                self.layout.fill(self.input, n, 0, self.block, &mut cells);
            }
            for y in 0..rows {
                let source = &cells[y * self.correlation.step[0] * self.layout.row_stride()..];
                let at = n * image
                    + (first_y + y * spread_y) * row
                    + first_x * column
                    + self.block * LANES;
                let end = at + (columns - 1) * step + lanes;
                assert!(end <= self.out.len(), "output too short");
                let mut x = 0;
                // SAFETY: the layout holds a cell for every tap of every output of the row;
                // the outputs lie within `out` by the assertion and belong to this task.
                unsafe {
                    let out = self.out.as_ptr().add(at);
                    while x + POSITIONS <= columns {
                        let (source, out) = (source.as_ptr().add(x * LANES), out.add(x * step));
                        self.tile::<S, POSITIONS>(s, source, out, step, lanes);
                        x += POSITIONS;
                    }
                    while x < columns {
                        let (source, out) = (source.as_ptr().add(x * LANES), out.add(x * step));
                        self.tile::<S, 1>(s, source, out, step, lanes);
                        x += 1;
                    }
                }
            }
        }
    }
}

impl Forward<'_> {
    /// # Safety
    /// The cells of `P` outputs from `source` on are readable at every tap; `lanes` values at
    /// `out + p * step` are writable and not accessed elsewhere.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize>(
        &self,
        s: S,
        source: *const f32,
        out: *mut f32,
        step: usize,
        lanes: usize,
    ) {
        // SAFETY: as the caller vouches; `weight` holds a vector more than there are taps.
        unsafe {
            let weight = self.weight.as_ptr();
            let mut acc = [s.load(weight); P];
            if self.accumulate {
                for p in 0..P {
                    acc[p] = s.load_first(out.add(p * step), lanes);
                }
            }
            for (t, &offset) in self.offsets.iter().enumerate() {
                let w = s.load(weight.add((t + 1) * LANES));
                for p in 0..P {
                    acc[p] = s.fma(s.load(source.add(offset + p * LANES)), w, acc[p]);
                }
            }
            for p in 0..P {
                s.store_first(out.add(p * step), acc[p], lanes);
            }
        }
    }
}

/// Gradient in the filters, `[channels, 1, K_h, K_w]`; `dy` is dense channels-last.
pub(super) fn weight_gradient(geometry: &Geometry, x: Map, dy: Map, dw: &mut [f32]) {
    let shape = geometry.output(x.shape());
    let [images, channels, _, _] = shape;
    let correlation = geometry.forward(x.shape());
    let taps = correlation.taps.len();
    let blocks = channels.div_ceil(LANES);
    let chunks = CHUNKS.min(images);
    let layout = Source::new(&correlation, correlation.out[0], LANES);
    // The gradient has one cell per position: read it through a correlation of one tap.
    let plain = Correlation::identity([shape[2], shape[3]]);
    let dy_layout = Source::new(&plain, shape[2], LANES);
    let offsets: Vec<usize> = correlation
        .taps
        .iter()
        .map(|tap| layout.tap_offset(tap.offset))
        .collect();
    let mut sums = Buffer::zeroed(chunks * blocks * taps * LANES);
    let shared = Shared::new(&mut sums);
    for_each(chunks * blocks, |i| {
        let (chunk, block) = (i / blocks, i % blocks);
        dispatch(Backward {
            correlation: &correlation,
            layout: &layout,
            dy_layout: &dy_layout,
            offsets: &offsets,
            x,
            dy,
            images: [images * chunk / chunks, images * (chunk + 1) / chunks],
            block,
            // SAFETY: each task has a part of its own.
            dw: unsafe { shared.slice(i * taps * LANES, taps * LANES) },
        });
    });
    for (c, dw) in dw.chunks_exact_mut(taps).enumerate() {
        for (t, value) in dw.iter_mut().enumerate() {
            let at = |chunk: usize| ((chunk * blocks + c / LANES) * taps + t) * LANES + c % LANES;
            *value = (0..chunks).map(|chunk| sums[at(chunk)]).sum();
        }
    }
}

struct Backward<'a> {
    correlation: &'a Correlation,
    layout: &'a Source,
    dy_layout: &'a Source,
    offsets: &'a [usize],
    x: Map<'a>,
    dy: Map<'a>,
    images: [usize; 2],
    block: usize,
    dw: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.correlation.out;
        let mut cells = Buffer::new(self.layout.block_stride());
        let mut gradients = Buffer::new(self.dy_layout.block_stride());
        let row_stride = self.correlation.step[0] * self.layout.row_stride();
        for n in self.images[0]..self.images[1] {
            self.layout.fill(self.x, n, 0, self.block, &mut cells);
            self.dy_layout
                .fill(self.dy, n, 0, self.block, &mut gradients);
            for y in 0..rows {
                let source = &cells[y * row_stride..];
                let dy = &gradients[y * columns * LANES..(y + 1) * columns * LANES];
                let mut t = 0;
                while t < self.offsets.len() {
                    // SAFETY: the layouts hold the cells of the row for every tap, and `dw`
                    // a vector for every tap.
                    unsafe {
                        let (source, dw) = (source.as_ptr(), self.dw.as_mut_ptr().add(t * LANES));
                        let offsets = &self.offsets[t..];
                        match offsets.len() {
                            9.. => t += row_of_taps::<S, 9>(s, source, dy, offsets, dw),
                            3.. => t += row_of_taps::<S, 3>(s, source, dy, offsets, dw),
                            _ => t += row_of_taps::<S, 1>(s, source, dy, offsets, dw),
                        }
                    }
                }
            }
        }
    }
}

/// `dw[t] += sum_x source[x, offsets[t]] * dy[x]` for `T` taps; returns `T`.
///
/// # Safety
/// A cell is readable at `source + x * 16 + offset` for every vector `x` of `dy` and each of the
/// first `T` offsets; `dw` has room for `T` vectors.
#[inline(always)]
unsafe fn row_of_taps<S: Simd, const T: usize>(
    s: S,
    source: *const f32,
    dy: &[f32],
    offsets: &[usize],
    dw: *mut f32,
) -> usize {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut acc = [s.splat(0.0); T];
        for x in 0..dy.len() / LANES {
            let g = s.load(dy.as_ptr().add(x * LANES));
            let source = source.add(x * LANES);
            for t in 0..T {
                acc[t] = s.fma(s.load(source.add(*offsets.get_unchecked(t))), g, acc[t]);
            }
        }
        for t in 0..T {
            let at = dw.add(t * LANES);
            s.store(at, s.add(s.load(at), acc[t]));
        }
    }
    T
}
