//! Packed weights.
//!
//! Output channels are cut into panels of 1, 2 or 4 vectors. A panel holds, for
//! every block of sixteen input channels, every tap and every input channel of
//! the block, the weights of its output channels side by side:
//! `[input block][tap][input channel][output channel of the panel]`. The last
//! input block holds only the channels there are; output channels are padded
//! with zeros to whole vectors.

use super::geometry::Tap;
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// A group of output channels that is computed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// First output channel.
    pub first: usize,
    /// Number of real output channels.
    pub count: usize,
    /// Width in vectors: 1, 2 or 4.
    pub vectors: usize,
}

/// Cuts `channels` into panels as wide as the instruction set likes them.
pub(crate) fn panels<S: Simd>(channels: usize) -> Vec<Panel> {
    let mut panels = Vec::new();
    let mut first = 0;
    while first < channels {
        let blocks = (channels - first).div_ceil(LANES);
        let vectors = if blocks >= 4 && S::POSITIONS[2] > 0 {
            4
        } else if blocks >= 2 && S::POSITIONS[1] > 0 {
            2
        } else {
            1
        };
        let count = (vectors * LANES).min(channels - first);
        panels.push(Panel {
            first,
            count,
            vectors,
        });
        first += count;
    }
    panels
}

/// Where weight `(output, input, y, x)` lies in a `[C_out, C_in, K_h, K_w]` tensor,
/// seen from the pass that uses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightStrides {
    /// Distance of neighbouring output channels of the pass.
    pub output: usize,
    /// Distance of neighbouring input channels of the pass.
    pub input: usize,
    /// Distance of neighbouring kernel rows; columns are adjacent.
    pub row: usize,
    /// Number of kernel positions.
    pub positions: usize,
}

/// Length of a panel `vectors` wide for `inputs` channels and `taps` taps.
pub(crate) fn panel_len(inputs: usize, taps: usize, vectors: usize) -> usize {
    inputs * taps * vectors * LANES
}

/// Offsets of the panels in their common buffer, with the total length at the end.
pub(crate) fn panel_offsets(panels: &[Panel], inputs: usize, taps: usize) -> Vec<usize> {
    let mut offsets = Vec::with_capacity(panels.len() + 1);
    let mut total = 0;
    for panel in panels {
        offsets.push(total);
        total += panel_len(inputs, taps, panel.vectors);
    }
    offsets.push(total);
    offsets
}

/// The part of a panel that belongs to one block of input channels.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// First input channel.
    pub first: usize,
    /// Input channels.
    pub lanes: usize,
    /// Values between packed input channels.
    pub width: usize,
}

/// Runs of weights that are neighbours in the tensor, as columns of a matrix whose rows are
/// output channels, and the packed places of these columns.
pub(super) struct Columns {
    /// Kernel positions, `K_h * K_w`.
    positions: usize,
    /// Those that a tap reads.
    taps: usize,
    /// The tap that reads a kernel position, if any.
    tap_of: Vec<Option<usize>>,
    strides: WeightStrides,
}

impl Columns {
    pub(crate) fn new(strides: WeightStrides, taps: &[Tap]) -> Self {
        let positions = strides.positions;
        let mut tap_of = vec![None; positions];
        for (t, tap) in taps.iter().enumerate() {
            tap_of[tap.kernel[0] * strides.row + tap.kernel[1]] = Some(t);
        }
        Self {
            positions,
            taps: taps.len(),
            tap_of,
            strides,
        }
    }

    /// Values from a run to the one that is read next: the next block of inputs, or input.
    fn next_run(&self) -> usize {
        if self.strides.input == self.positions {
            LANES * self.positions
        } else {
            self.strides.input
        }
    }

    /// Calls `f(first output, outputs, weight index, packed places of the columns)` for every
    /// block of at most 16 x 16 weights of a part.
    #[inline(always)]
    fn for_each_block(
        &self,
        part: Part,
        panel: Panel,
        mut f: impl FnMut(usize, usize, usize, &[Option<usize>]),
    ) {
        // Where the positions of neighbouring inputs are neighbours they form one long run.
        let (runs, inputs) = if self.strides.input == self.positions {
            (1, part.lanes)
        } else {
            (part.lanes, 1)
        };
        let mut places = [None; LANES];
        for run in 0..runs {
            let columns = inputs * self.positions;
            for column in (0..columns).step_by(LANES) {
                let count = LANES.min(columns - column);
                for (j, place) in places[..count].iter_mut().enumerate() {
                    let input = run + (column + j) / self.positions;
                    *place = self.tap_of[(column + j) % self.positions]
                        .map(|t| (t * part.lanes + input) * part.width);
                }
                if places[..count].iter().all(Option::is_none) {
                    continue;
                }
                for output in (0..part.width).step_by(LANES) {
                    let outputs = panel.count.saturating_sub(output).min(LANES);
                    let weight = (panel.first + output) * self.strides.output
                        + (part.first + run) * self.strides.input
                        + column;
                    f(output, outputs, weight, &places[..count]);
                }
            }
        }
    }
}

struct PackPart<'a> {
    columns: &'a Columns,
    part: Part,
    panel: Panel,
    weight: &'a [f32],
    packed: &'a mut [f32],
}

impl Kernel for PackPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.columns.strides.output;
        let ahead = self.columns.next_run();
        let (weight, packed) = (self.weight, self.packed);
        self.columns
            .for_each_block(self.part, self.panel, |output, outputs, from, places| {
                let mut rows = [s.splat(0.0); LANES];
                for (i, row) in rows.iter_mut().enumerate().take(outputs) {
                    // Rows lie pages apart, which the machine does not foresee.
                    s.prefetch(weight.as_ptr().wrapping_add(from + i * stride + ahead));
                    let from = &weight[from + i * stride..from + i * stride + places.len()];
                    // SAFETY: the slice holds as many values.
                    *row = unsafe { s.load_first(from.as_ptr(), from.len()) };
                }
                for (column, place) in s.transpose(rows).into_iter().zip(places) {
                    if let Some(place) = place {
                        let to = &mut packed[place + output..place + output + LANES];
                        // SAFETY: the slice holds a vector.
                        unsafe { s.store(to.as_mut_ptr(), column) };
                    }
                }
            });
    }
}

struct UnpackPart<'a> {
    columns: &'a Columns,
    part: Part,
    panel: Panel,
    packed: &'a [f32],
    weight: Shared<'a>,
}

impl Kernel for UnpackPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.columns.strides.output;
        let (weight, packed) = (self.weight, self.packed);
        self.columns
            .for_each_block(self.part, self.panel, |output, outputs, to, places| {
                let mut columns = [s.splat(0.0); LANES];
                for (column, place) in columns.iter_mut().zip(places) {
                    // A weight gradient has a tap for every kernel position.
                    let place = place.unwrap_or_else(|| unreachable!()) + output;
                    let from = &packed[place..place + LANES];
                    // SAFETY: the slice holds a vector.
                    *column = unsafe { s.load(from.as_ptr()) };
                }
                for (i, row) in s.transpose(columns).into_iter().enumerate().take(outputs) {
                    // SAFETY: parts touch disjoint weights, and each is touched once.
                    let to = unsafe { weight.slice(to + i * stride, places.len()) };
                    // SAFETY: the slice holds as many values.
                    unsafe { s.store_first(to.as_mut_ptr(), row, to.len()) };
                }
            });
    }
}

/// The parts of all panels in the order of their common buffer, with their starts.
pub(super) fn parts(panels: &[Panel], inputs: usize, taps: usize) -> Vec<(Panel, Part, usize)> {
    let mut parts = Vec::new();
    let mut at = 0;
    for &panel in panels {
        for first in (0..inputs).step_by(LANES) {
            let lanes = LANES.min(inputs - first);
            let width = panel.vectors * LANES;
            parts.push((
                panel,
                Part {
                    first,
                    lanes,
                    width,
                },
                at,
            ));
            at += lanes * taps * width;
        }
    }
    parts
}

/// The inverse of [`pack`]: writes packed values to their places in `weight`.
pub(crate) fn unpack(
    packed: &[f32],
    strides: WeightStrides,
    panels: &[Panel],
    inputs: usize,
    taps: &[Tap],
    weight: &mut [f32],
) {
    let columns = Columns::new(strides, taps);
    let parts = parts(panels, inputs, taps.len());
    let weight = Shared::new(weight);
    for_each(parts.len(), |i| {
        let (panel, part, at) = parts[i];
        dispatch(UnpackPart {
            columns: &columns,
            part,
            panel,
            packed: &packed[at..at + part.lanes * taps.len() * part.width],
            weight,
        });
    });
}

/// The input channels `range` of a panel, packed; `range` begins with a block.
pub(super) fn pack_piece(
    columns: &Columns,
    panel: Panel,
    range: [usize; 2],
    weight: &[f32],
    packed: &mut [f32],
) {
    let width = panel.vectors * LANES;
    let mut at = 0;
    for first in (range[0]..range[1]).step_by(LANES) {
        let lanes = LANES.min(range[1] - first);
        let len = lanes * columns.taps * width;
        dispatch(PackPart {
            columns,
            part: Part {
                first,
                lanes,
                width,
            },
            panel,
            weight,
            packed: &mut packed[at..at + len],
        });
        at += len;
    }
}

/// All panels of `weight` in one buffer.
pub(crate) fn pack(
    weight: &[f32],
    strides: WeightStrides,
    panels: &[Panel],
    inputs: usize,
    taps: &[Tap],
) -> Buffer {
    let parts = parts(panels, inputs, taps.len());
    let columns = Columns::new(strides, taps);
    let total = panel_offsets(panels, inputs, taps.len())[panels.len()];
    let mut packed = Buffer::new(total);
    let shared = Shared::new(&mut packed);
    for_each(parts.len(), |i| {
        let (panel, part, at) = parts[i];
        // SAFETY: parts do not overlap, and each task writes its own.
        let packed = unsafe { shared.slice(at, part.lanes * taps.len() * part.width) };
        dispatch(PackPart {
            columns: &columns,
            part,
            panel,
            weight,
            packed,
        });
    });
    packed
}
