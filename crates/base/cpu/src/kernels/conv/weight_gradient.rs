//! Gradient of the loss in the convolution weight.
//!
//! `dw[tap, i, o] = sum_outputs source[output + tap, i] * dy[output, o]`: the tile holds some
//! input channels `i` against one panel of output channels and runs over the outputs.

use super::geometry::{Correlation, Geometry};
use super::panel::{Panel, WeightStrides, panel_len, panel_offsets, panels, unpack};
use super::source::Source;
use super::winograd;
use crate::kernels::map::Map;
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Vectors of output gradient in a band of rows; they and the cells the band reads stay
/// in the first-level cache over all taps.
const BAND: usize = 256;

/// The batch is cut into chunks until there are about this many tasks. A constant,
/// because the chunks decide the order of summation.
const TASKS: usize = 16;

/// `dw`, dense `[C_out, C_in / groups, K_h, K_w]`, from the input and the output gradient.
pub fn weight_gradient(geometry: &Geometry, x: Map, dy: Map, dw: &mut [f32]) {
    let shape = geometry.output(x.shape());
    assert_eq!(shape, dy.shape(), "gradient shape");
    let [c_out, c_in, kh, kw] = geometry.weight;
    let taps = kh * kw;
    assert_eq!(dw.len(), c_out * c_in * taps, "gradient length");
    if geometry.is_depthwise() {
        super::depthwise::weight_gradient(geometry, x, dy, dw);
        return;
    }
    let mut dense = Buffer::new(0);
    let dy = match dy.rows() {
        Some(rows) => rows,
        None => {
            dense = Buffer::new(shape.iter().product());
            dy.to_channels_last(&mut dense);
            &dense[..]
        }
    };
    let _keep = &dense;
    let correlation = geometry.forward(x.shape());
    let per_group = c_out / geometry.groups;
    for g in 0..geometry.groups {
        dispatch(WeightGradient {
            correlation: &correlation,
            input: x.channels(g * c_in, c_in),
            dy,
            dy_shape: shape,
            first: g * per_group,
            channels: per_group,
            dw: &mut dw[g * per_group * c_in * taps..(g + 1) * per_group * c_in * taps],
            strides: WeightStrides {
                output: c_in * taps,
                input: taps,
                row: kw,
                positions: kh * kw,
            },
        });
    }
}

struct WeightGradient<'a> {
    correlation: &'a Correlation,
    input: Map<'a>,
    dy: &'a [f32],
    dy_shape: [usize; 4],
    first: usize,
    channels: usize,
    dw: &'a mut [f32],
    strides: WeightStrides,
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        accumulate::<S>(self);
    }
}

fn accumulate<S: Simd>(work: WeightGradient) {
    let [images, inputs, _, _] = work.input.shape();
    if work.channels == work.dy_shape[1]
        && winograd::suits(work.correlation, work.input, work.channels)
    {
        winograd::weight_gradient::<S>(
            work.correlation,
            work.input,
            work.dy,
            work.channels,
            work.strides,
            work.dw,
        );
        return;
    }
    let taps = &work.correlation.taps;
    let panels = panels::<S>(work.channels);
    let offsets = panel_offsets(&panels, inputs, taps.len());
    let total = offsets[panels.len()];
    let blocks = inputs.div_ceil(LANES);
    let tiles = blocks * panels.len();
    if images == 0 || tiles == 0 {
        work.dw.fill(0.0);
        return;
    }
    let chunks = TASKS.div_ceil(tiles).min(images);
    let mut sums = Buffer::new(chunks * total);
    let shared = Shared::new(&mut sums);
    let layout = Source::new(work.correlation, work.correlation.out[0], LANES);
    for_each(chunks * tiles, |i| {
        let (chunk, tile) = (i / tiles, i % tiles);
        let (block, index) = (tile % blocks, tile / blocks);
        let lanes = LANES.min(inputs - block * LANES);
        let vectors = panels[index].vectors;
        let start = chunk * total + offsets[index] + panel_len(block * LANES, taps.len(), vectors);
        dispatch(Task {
            work: &work,
            layout: &layout,
            images: [images * chunk / chunks, images * (chunk + 1) / chunks],
            block,
            lanes,
            panel: panels[index],
            // SAFETY: each (chunk, panel, block) has a part of its own.
            dw: unsafe { shared.slice(start, panel_len(lanes, taps.len(), vectors)) },
        });
    });
    let (first, rest) = sums.split_at_mut(total);
    for chunk in rest.chunks_exact(total) {
        for (a, b) in first.iter_mut().zip(chunk) {
            *a += b;
        }
    }
    unpack(first, work.strides, &panels, inputs, taps, work.dw);
}

struct Task<'a> {
    work: &'a WeightGradient<'a>,
    layout: &'a Source,
    images: [usize; 2],
    block: usize,
    lanes: usize,
    panel: Panel,
    dw: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            work,
            layout,
            panel,
            ..
        } = self;
        self.dw.fill(0.0);
        let [rows, columns] = work.correlation.out;
        let width = panel.vectors * LANES;
        let band = (BAND / panel.vectors / columns).clamp(1, rows);
        let mut cells = Buffer::new(layout.block_stride());
        let mut gradients = Buffer::new(band * columns * width);
        // Lanes beyond the last channel are multiplied too; what they give is not stored.
        let per_tap = self.lanes * width;
        for n in self.images[0]..self.images[1] {
            layout.fill(work.input, n, 0, self.block, &mut cells);
            for row in (0..rows).step_by(band) {
                let count = band.min(rows - row);
                let position = (n * rows + row) * columns;
                let dy = gather(work, panel, position, count * columns, &mut gradients);
                for (tap, dw) in work
                    .correlation
                    .taps
                    .iter()
                    .zip(self.dw.chunks_exact_mut(per_tap))
                {
                    let cell = layout.tap_offset(tap.offset)
                        + row * work.correlation.step[0] * layout.row_stride();
                    let args = Args {
                        extent: [count, columns],
                        source: cells[cell..].as_ptr(),
                        source_row: work.correlation.step[0] * layout.row_stride(),
                        dy: dy.as_ptr(),
                        lanes: self.lanes,
                        dw: dw.as_mut_ptr(),
                    };
                    // SAFETY: the layout holds a cell for every tap of every output; `dy`
                    // holds the panel's vectors for `count * columns` outputs; `dw` holds
                    // `lanes` rows of the panel's vectors.
                    unsafe { rows_of_tiles(s, args, panel.vectors) };
                }
            }
        }
    }
}

/// The panel's gradients of `count` outputs from `position` on, side by side and padded
/// with zeros to whole vectors; a copy unless the tensor holds them so.
#[inline(always)]
fn gather<'a>(
    work: &'a WeightGradient,
    panel: Panel,
    position: usize,
    count: usize,
    copy: &'a mut [f32],
) -> &'a [f32] {
    let width = panel.vectors * LANES;
    let stride = work.dy_shape[1];
    let from = &work.dy[position * stride..(position + count) * stride];
    if stride == width && panel.count == width {
        return from;
    }
    let at = work.first + panel.first;
    let copy = &mut copy[..count * width];
    for (to, from) in copy.chunks_exact_mut(width).zip(from.chunks_exact(stride)) {
        if panel.count == width {
            for v in 0..panel.vectors {
                let from = &from[at + v * LANES..at + (v + 1) * LANES];
                to[v * LANES..(v + 1) * LANES].copy_from_slice(from);
            }
        } else {
            to[..panel.count].copy_from_slice(&from[at..at + panel.count]);
            to[panel.count..].fill(0.0);
        }
    }
    copy
}

/// One tap over one band of outputs.
#[derive(Clone, Copy)]
pub(super) struct Args {
    /// Rows and columns of outputs.
    pub extent: [usize; 2],
    /// Cell of the first output.
    pub source: *const f32,
    /// Values between cells of vertically neighbouring outputs.
    pub source_row: usize,
    /// Gradients of the outputs, one after the other.
    pub dy: *const f32,
    /// Real input channels.
    pub lanes: usize,
    /// `lanes` rows of the panel's vectors.
    pub dw: *mut f32,
}

/// # Safety
/// The cells and gradients of `extent` outputs are readable and `dw` is writable.
#[inline(always)]
pub(super) unsafe fn rows_of_tiles<S: Simd>(s: S, args: Args, vectors: usize) {
    macro_rules! tiles {
        ($rows:expr, $v:literal) => {{
            let mut first = 0;
            while first < args.lanes {
                // SAFETY: as the caller vouches.
                unsafe {
                    match ($rows, args.lanes - first) {
                        (16, 9..) => first += tile::<S, 16, $v>(s, args, first),
                        (8.., 5..) => first += tile::<S, 8, $v>(s, args, first),
                        (4.., 3..) => first += tile::<S, 4, $v>(s, args, first),
                        _ => first += tile::<S, 2, $v>(s, args, first),
                    }
                }
            }
        }};
    }
    if vectors == 4 && S::ROWS[2] > 0 {
        tiles!(S::ROWS[2], 4)
    } else if vectors == 2 && S::ROWS[1] > 0 {
        tiles!(S::ROWS[1], 2)
    } else {
        tiles!(S::ROWS[0], 1)
    }
}

/// `dw[first + r] += sum_outputs source[output, first + r] * dy[output]` for `r < R`;
/// returns `R`. `first + R` is at most 16, the lanes of a cell.
///
/// # Safety
/// As for [`rows_of_tiles`].
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize>(s: S, args: Args, first: usize) -> usize {
    // SAFETY: every address below is one the caller vouches for.
    unsafe {
        let mut acc = [[s.splat(0.0); V]; R];
        let mut dy = args.dy;
        for y in 0..args.extent[0] {
            let mut source = args.source.add(y * args.source_row + first);
            for _ in 0..args.extent[1] {
                let mut g = [s.splat(0.0); V];
                for v in 0..V {
                    g[v] = s.load(dy.add(v * LANES));
                }
                for r in 0..R {
                    let x = s.splat(*source.add(r));
                    for v in 0..V {
                        acc[r][v] = s.fma(x, g[v], acc[r][v]);
                    }
                }
                source = source.wrapping_add(LANES);
                dy = dy.wrapping_add(V * LANES);
            }
        }
        // A constant number of rounds, or the sums would have to live in memory.
        for r in 0..R {
            if first + r < args.lanes {
                for v in 0..V {
                    let at = args.dw.add(((first + r) * V + v) * LANES);
                    s.store(at, s.add(s.load(at), acc[r][v]));
                }
            }
        }
        R
    }
}
