//! The forward pass and the input gradient.

use super::{ENTRIES, PADDING, Tiles, suits, transform, transform_inputs};
use crate::kernels::conv::correlate::Correlate;
use crate::kernels::conv::panel::{Panel, pack, panel_len, panel_offsets, panels, parts};
use crate::kernels::conv::tile::{TileArgs, run_of_tiles};
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Values of the transformed inputs and sums of a task; they fill most of the second-level cache.
const TASK: usize = 192 << 10;

/// Tiles that should share one reading of the weights, which are larger than the caches.
const SHARING: usize = 48;

/// Runs a correlation that [`suits`].
///
/// The split into tasks changes no result: an output is always summed over channels in order.
pub(in crate::kernels::conv) fn correlate<S: Simd>(work: &Correlate) {
    let [_, inputs, _, _] = work.input.shape();
    let outputs = work.destination.channels;
    debug_assert!(suits(work.correlation, work.input, outputs));
    let tiles = Tiles::new(work.correlation, work.input);
    let panels = panels::<S>(outputs);
    let weights = Weights::new(work, &panels, inputs);
    let per_task = (TASK / (ENTRIES * (inputs + outputs))).max(SHARING);
    let workers = rayon::current_num_threads();
    let count = tiles.count();
    let tasks = count.div_ceil(per_task).next_multiple_of(workers);
    for_each(tasks, |i| {
        let range = [count * i / tasks, count * (i + 1) / tasks];
        dispatch(Task {
            work,
            tiles: &tiles,
            panels: &panels,
            weights: &weights,
            range,
        });
    });
}

/// Transformed weights, `[entry][panel][input channel][output channel of the panel]`.
struct Weights {
    values: Buffer,
    /// Values from entry to entry.
    stride: usize,
    /// Where each panel begins in an entry.
    offsets: Vec<usize>,
}

impl Weights {
    fn new(work: &Correlate, panels: &[Panel], inputs: usize) -> Self {
        let taps = &work.correlation.taps;
        let packed = pack(work.weight, work.strides, panels, inputs, taps);
        let offsets = panel_offsets(panels, inputs, 1);
        let stride = offsets[panels.len()];
        let mut values = Buffer::new(ENTRIES * stride);
        let shared = Shared::new(&mut values);
        let mut tap_at = [0; 9];
        for (t, tap) in taps.iter().enumerate() {
            tap_at[tap.offset[0] * 3 + tap.offset[1]] = t;
        }
        // A panel of one tap is as long as its share of the packed taps, divided by nine.
        let parts = parts(panels, inputs, taps.len());
        for_each(parts.len(), |i| {
            let (panel, part, at) = parts[i];
            let index = panels.iter().position(|p| p.first == panel.first);
            dispatch(TransformWeights {
                packed: &packed[at..at + part.lanes * taps.len() * part.width],
                tap_at,
                rows: part.lanes,
                width: part.width,
                out: shared,
                at: offsets[index.unwrap_or(0)] + part.first * part.width,
                stride,
            });
        });
        Self {
            values,
            stride,
            offsets,
        }
    }
}

struct TransformWeights<'a> {
    packed: &'a [f32],
    tap_at: [usize; 9],
    /// Input channels.
    rows: usize,
    /// Output channels.
    width: usize,
    out: Shared<'a>,
    at: usize,
    stride: usize,
}

impl Kernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.rows * self.width;
        for e in 0..ENTRIES {
            assert!(self.at + e * self.stride + len <= self.out.len());
        }
        assert_eq!(self.packed.len(), 9 * len);
        for at in (0..len).step_by(LANES) {
            let mut kernel = [s.splat(0.0); 9];
            for (value, tap) in kernel.iter_mut().zip(self.tap_at) {
                // SAFETY: the packed part holds nine taps of `len` values.
                *value = unsafe { s.load(self.packed.as_ptr().add(tap * len + at)) };
            }
            let entries = transform::weight(s, kernel);
            for e in 0..ENTRIES {
                // SAFETY: within the buffer by the assertion; parts do not overlap.
                unsafe {
                    let out = self.out.as_ptr().add(self.at + e * self.stride + at);
                    s.store(out, entries[e / 4][e % 4]);
                }
            }
        }
    }
}

struct Task<'a> {
    work: &'a Correlate<'a>,
    tiles: &'a Tiles,
    panels: &'a [Panel],
    weights: &'a Weights,
    /// First tile and the one after the last.
    range: [usize; 2],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [first, end] = self.range;
        let count = end - first;
        if count == 0 {
            return;
        }
        let [_, inputs, _, _] = self.work.input.shape();
        let outputs = self.work.destination.channels;
        // One more vector per entry: powers of two would meet in the same lines of the cache.
        let cells_stride = count * inputs + LANES;
        let sums_stride = count * outputs + LANES;
        let mut cells = Buffer::new(ENTRIES * cells_stride);
        let mut sums = Buffer::new(ENTRIES * sums_stride);
        let source = self.work.input.rows().unwrap_or_default();
        assert_eq!(
            source.len(),
            self.work.input.shape().iter().product::<usize>()
        );
        // SAFETY: every position has `inputs` channels, whole vectors; `cells` holds sixteen values
        // for each entry, block of channels and tile.
        unsafe {
            transform_inputs(
                s,
                self.tiles,
                [first, count],
                (source.as_ptr(), inputs),
                cells.as_mut_ptr(),
                [cells_stride, count * LANES],
            );
        }
        let zeros = [0.0; 4 * LANES];
        for e in 0..ENTRIES {
            for (index, panel) in self.panels.iter().enumerate() {
                let args = TileArgs {
                    taps: &[0],
                    channels: inputs,
                    block_stride: count * LANES,
                    out_stride: outputs,
                    count: panel.count,
                    accumulate: false,
                };
                let at = e * self.weights.stride + self.weights.offsets[index];
                let weight = &self.weights.values[at..at + panel_len(inputs, 1, panel.vectors)];
                // SAFETY: the cells hold `inputs` channels of `count` tiles, the weights were cut to
                // size, and the sums hold `outputs` channels of `count` tiles for the entry.
                unsafe {
                    run_of_tiles(
                        s,
                        args,
                        panel.vectors,
                        count,
                        cells.as_ptr().add(e * cells_stride),
                        weight.as_ptr(),
                        zeros.as_ptr(),
                        sums.as_mut_ptr().add(e * sums_stride + panel.first),
                    );
                }
            }
        }
        for i in 0..count {
            // SAFETY: the sums hold `outputs` channels of `count` tiles for every entry, and this
            // task alone writes the outputs of its tiles.
            unsafe { self.finish(s, first + i, sums.as_ptr().add(i * outputs), sums_stride) };
        }
    }
}

impl Task<'_> {
    /// Transforms the sums of a tile and stores its outputs.
    ///
    /// # Safety
    /// `sums + e * stride .. + outputs` is readable for every entry `e`; nothing else accesses the
    /// outputs of the tile.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, tile: usize, sums: *const f32, stride: usize) {
        let destination = &self.work.destination;
        let [image_stride, row_stride, column_stride] = destination.strides;
        let [first_row, first_column] = self.work.correlation.first;
        let [image, y, x] = self.tiles.place(tile);
        let inside = self.tiles.outputs(tile);
        let places: [usize; 4] = std::array::from_fn(|i| {
            destination.first
                + image * image_stride
                + (first_row + y + i / 2) * row_stride
                + (first_column + x + i % 2) * column_stride
        });
        for (place, inside) in places.iter().zip(inside) {
            let fits = place + destination.channels <= destination.out.len();
            assert!(inside == PADDING || fits, "output too short");
        }
        for channel in (0..destination.channels).step_by(LANES) {
            // SAFETY: as the caller vouches; a bias has a value for every channel, and outputs
            // that are inside lie within the destination by the assertion.
            unsafe {
                let mut m = [s.splat(0.0); ENTRIES];
                for (e, value) in m.iter_mut().enumerate() {
                    *value = s.load(sums.add(e * stride + channel));
                }
                let bias = match self.work.bias {
                    Some(bias) => s.load(bias[channel..channel + LANES].as_ptr()),
                    None => s.splat(0.0),
                };
                let values = transform::output(s, m);
                for i in 0..4 {
                    if inside[i] == PADDING {
                        continue;
                    }
                    let out = destination.out.as_ptr().add(places[i] + channel);
                    let start = if self.work.accumulate {
                        s.load(out)
                    } else {
                        bias
                    };
                    s.store(out, s.add(values[i / 2][i % 2], start));
                }
            }
        }
    }
}
