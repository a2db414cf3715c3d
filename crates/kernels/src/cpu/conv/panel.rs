//! Packed weights.
//!
//! Output channels are cut into panels of 1, 2 or 4 vectors. A panel holds, for
//! every block of sixteen input channels, every tap and every input channel of
//! the block, the weights of its output channels side by side:
//! `[input block][tap][input channel][output channel of the panel]`. The last
//! input block holds only the channels there are; output channels are padded
//! with zeros to whole vectors.

use super::geometry::Tap;
use crate::cpu::memory::Buffer;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::simd::{LANES, Simd};

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
struct Part {
    /// First input channel.
    first: usize,
    /// Input channels.
    lanes: usize,
    /// Values between packed input channels.
    width: usize,
}

/// Calls `f(packed index, weight index)` for every weight of a part, in the order
/// in which `weight` is nearly sequential.
#[inline(always)]
fn for_each_weight(
    part: Part,
    panel: Panel,
    taps: &[Tap],
    strides: WeightStrides,
    mut f: impl FnMut(usize, usize),
) {
    let mut place = |input: usize, output: usize| {
        let from = (panel.first + output) * strides.output + (part.first + input) * strides.input;
        for (t, tap) in taps.iter().enumerate() {
            let tap_at = tap.kernel[0] * strides.row + tap.kernel[1];
            f(
                (t * part.lanes + input) * part.width + output,
                from + tap_at,
            );
        }
    };
    if strides.output > strides.input {
        for output in 0..panel.count {
            for input in 0..part.lanes {
                place(input, output);
            }
        }
    } else {
        for input in 0..part.lanes {
            for output in 0..panel.count {
                place(input, output);
            }
        }
    }
}

/// The parts of all panels in the order of their common buffer, with their starts.
fn parts(panels: &[Panel], inputs: usize, taps: usize) -> Vec<(Panel, Part, usize)> {
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
    for (panel, part, at) in parts(panels, inputs, taps.len()) {
        let packed = &packed[at..at + part.lanes * taps.len() * part.width];
        for_each_weight(part, panel, taps, strides, |from, to| {
            weight[to] = packed[from]
        });
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
    let total = panel_offsets(panels, inputs, taps.len())[panels.len()];
    let mut packed = Buffer::new(total);
    let shared = Shared::new(&mut packed);
    for_each(parts.len(), |i| {
        let (panel, part, at) = parts[i];
        // SAFETY: parts do not overlap, and each task writes its own.
        let packed = unsafe { shared.slice(at, part.lanes * taps.len() * part.width) };
        if panel.count < part.width {
            packed.fill(0.0);
        }
        for_each_weight(part, panel, taps, strides, |to, from| {
            packed[to] = weight[from]
        });
    });
    packed
}
