//! The weight gradient.

use super::{ENTRIES, PADDING, Tiles, transform, transform_inputs};
use crate::kernels::conv::geometry::Correlation;
use crate::kernels::conv::panel::{Panel, WeightStrides, panel_offsets, panels, parts, unpack};
use crate::kernels::conv::weight_gradient::{Args, rows_of_tiles};
use crate::kernels::map::Map;
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Values of the transformed inputs and gradients that are held at once: they stay in the
/// third-level cache until they are multiplied.
const HELD: usize = 2 << 20;

/// Tiles a task transforms.
const GROUP: usize = 32;

/// Vectors of transformed gradients in a band of tiles, which stays in the first-level cache.
const BAND: usize = 256;

/// `dw`, dense `[C_out, C_in, 3, 3]`, for a correlation that [`super::suits`]; `dy` is dense
/// channels-last.
///
/// Tiles are taken in pieces of a size that depends on the shapes alone, and every sum runs over
/// the pieces in order: the number of threads changes nothing.
pub(in crate::kernels::conv) fn weight_gradient<S: Simd>(
    correlation: &Correlation,
    input: Map,
    dy: &[f32],
    outputs: usize,
    strides: WeightStrides,
    dw: &mut [f32],
) {
    let [_, inputs, _, _] = input.shape();
    let tiles = Tiles::new(correlation, input);
    let panels = panels::<S>(outputs);
    let offsets = panel_offsets(&panels, inputs, 1);
    let total = offsets[panels.len()];
    let mut sums = Buffer::zeroed(ENTRIES * total);
    let most = (HELD / (ENTRIES * (inputs + outputs))).max(GROUP);
    let pieces = tiles.count().div_ceil(most).max(1);
    let longest = tiles.count().div_ceil(pieces);
    let strides_held = [longest * inputs + LANES, longest * outputs + LANES];
    let mut cells = Buffer::new(ENTRIES * strides_held[0]);
    let mut gradients = Buffer::new(ENTRIES * strides_held[1]);
    for piece in 0..pieces {
        let first = tiles.count() * piece / pieces;
        let count = tiles.count() * (piece + 1) / pieces - first;
        let held = Held {
            tiles: &tiles,
            first,
            count,
            source: input.rows().unwrap_or_default(),
            inputs,
            dy,
            outputs,
            panels: &panels,
            strides: strides_held,
        };
        let (to_cells, to_gradients) = (Shared::new(&mut cells), Shared::new(&mut gradients));
        for_each(count.div_ceil(GROUP), |group| {
            dispatch(Transform {
                held: &held,
                range: [group * GROUP, ((group + 1) * GROUP).min(count)],
                cells: to_cells,
                gradients: to_gradients,
            });
        });
        let shared = Shared::new(&mut sums);
        for_each(ENTRIES * panels.len(), |i| {
            let (entry, index) = (i / panels.len(), i % panels.len());
            let panel = panels[index];
            let len = inputs * panel.vectors * LANES;
            dispatch(Multiply {
                held: &held,
                entry,
                panel,
                cells: &cells,
                gradients: &gradients,
                // SAFETY: every entry and panel has a part of its own.
                sums: unsafe { shared.slice(entry * total + offsets[index], len) },
            });
        });
    }
    finish(&sums, total, &panels, inputs, correlation, strides, dw);
}

/// A piece of the tiles, and how its transforms are laid out: inputs as
/// `[entry][input block][tile][16]`, gradients as `[entry][panel][tile][output channel]`.
struct Held<'a> {
    tiles: &'a Tiles,
    first: usize,
    count: usize,
    source: &'a [f32],
    inputs: usize,
    dy: &'a [f32],
    outputs: usize,
    panels: &'a [Panel],
    /// Values from entry to entry, of inputs and of gradients.
    strides: [usize; 2],
}

struct Transform<'a> {
    held: &'a Held<'a>,
    /// First tile of the piece and the one after the last.
    range: [usize; 2],
    cells: Shared<'a>,
    gradients: Shared<'a>,
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let held = self.held;
        let [from, until] = self.range;
        let count = until - from;
        let [height, width] = held.tiles.input;
        assert_eq!(
            held.source.len(),
            held.tiles.images * height * width * held.inputs
        );
        let [height, width] = held.tiles.out;
        assert_eq!(
            held.dy.len(),
            held.tiles.images * height * width * held.outputs
        );
        assert!(ENTRIES * held.strides[0] <= self.cells.len());
        assert!(ENTRIES * held.strides[1] <= self.gradients.len());
        // SAFETY: every position has `inputs` channels, whole vectors; an entry has sixteen values
        // for each block and tile of the piece, and this task alone writes those of its tiles.
        unsafe {
            transform_inputs(
                s,
                held.tiles,
                [held.first + from, count],
                (held.source.as_ptr(), held.inputs),
                self.cells.as_ptr().add(from * LANES),
                [held.strides[0], held.count * LANES],
            );
        }
        for tile in from..until {
            let places = held.tiles.outputs(held.first + tile);
            for panel in held.panels {
                let wide = panel.vectors * LANES;
                let to = panel.first * held.count + tile * wide;
                for channel in (0..wide).step_by(LANES) {
                    // SAFETY: every position has `outputs` channels, a multiple of sixteen; a
                    // panel of an entry has `wide` values for each tile of the piece.
                    unsafe {
                        let mut dy = [s.splat(0.0); 4];
                        for (value, place) in dy.iter_mut().zip(places) {
                            if place != PADDING {
                                let at = place * held.outputs + panel.first + channel;
                                *value = s.load(held.dy.as_ptr().add(at));
                            }
                        }
                        let entries = transform::output_gradient(s, dy);
                        for e in 0..ENTRIES {
                            let at = e * held.strides[1] + to + channel;
                            s.store(self.gradients.as_ptr().add(at), entries[e / 4][e % 4]);
                        }
                    }
                }
            }
        }
    }
}

/// One entry of one panel: `sums[i, o] += sum_tiles inputs[tile, i] * gradients[tile, o]`.
struct Multiply<'a> {
    held: &'a Held<'a>,
    entry: usize,
    panel: Panel,
    cells: &'a [f32],
    gradients: &'a [f32],
    /// `[input channel][output channel of the panel]`.
    sums: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let held = self.held;
        let wide = self.panel.vectors * LANES;
        let cells = &self.cells[self.entry * held.strides[0]..][..held.count * held.inputs];
        let from = self.entry * held.strides[1] + self.panel.first * held.count;
        let gradients = &self.gradients[from..from + held.count * wide];
        let band = BAND / self.panel.vectors;
        for first in (0..held.count).step_by(band) {
            let count = band.min(held.count - first);
            let blocks = self.sums.chunks_exact_mut(LANES * wide);
            for (block, sums) in blocks.enumerate() {
                let args = Args {
                    extent: [1, count],
                    source: cells[(block * held.count + first) * LANES..].as_ptr(),
                    source_row: 0,
                    dy: gradients[first * wide..].as_ptr(),
                    lanes: LANES,
                    dw: sums.as_mut_ptr(),
                };
                // SAFETY: the slices hold `count` tiles from `first` on, and the sums sixteen
                // rows of the panel's vectors.
                unsafe { rows_of_tiles(s, args, self.panel.vectors) };
            }
        }
    }
}

/// Transforms the sums and puts them to their places in `dw`.
fn finish(
    sums: &[f32],
    total: usize,
    panels: &[Panel],
    inputs: usize,
    correlation: &Correlation,
    strides: WeightStrides,
    dw: &mut [f32],
) {
    let taps = &correlation.taps;
    let parts = parts(panels, inputs, taps.len());
    let mut packed = Buffer::new(9 * total);
    let shared = Shared::new(&mut packed);
    for_each(parts.len(), |i| {
        let (_, part, at) = parts[i];
        let len = part.lanes * part.width;
        dispatch(Finish {
            // Parts follow each other without gaps, with nine taps there and one entry here.
            sums: &sums[at / 9..],
            total,
            // SAFETY: every part is written by one task.
            packed: unsafe { shared.slice(at, 9 * len) },
        });
    });
    unpack(&packed, strides, panels, inputs, taps, dw);
}

struct Finish<'a> {
    sums: &'a [f32],
    total: usize,
    packed: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.packed.len() / 9;
        assert!((ENTRIES - 1) * self.total + len <= self.sums.len());
        for at in (0..len).step_by(LANES) {
            // SAFETY: within the sums by the assertion, and within the part.
            unsafe {
                let mut m = [s.splat(0.0); ENTRIES];
                for (e, value) in m.iter_mut().enumerate() {
                    *value = s.load(self.sums.as_ptr().add(e * self.total + at));
                }
                let kernel = transform::weight_gradient(s, m);
                for tap in 0..9 {
                    let out = self.packed.as_mut_ptr().add(tap * len + at);
                    s.store(out, kernel[tap / 3][tap % 3]);
                }
            }
        }
    }
}
