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

/// Calls `f(packed index of the sixteen lanes, lanes, weight index of lane 0)` for
/// every vector of a panel.
#[inline(always)]
fn for_each_vector(
    panel: Panel,
    inputs: usize,
    taps: &[Tap],
    strides: WeightStrides,
    mut f: impl FnMut(usize, usize, usize),
) {
    let width = panel.vectors * LANES;
    let mut at = 0;
    for block in (0..inputs).step_by(LANES) {
        let lanes = LANES.min(inputs - block);
        for tap in taps {
            let tap_at = tap.kernel[0] * strides.row + tap.kernel[1];
            for input in block..block + lanes {
                for v in 0..panel.vectors {
                    let output = v * LANES;
                    if output < panel.count {
                        let from = (panel.first + output) * strides.output
                            + input * strides.input
                            + tap_at;
                        f(at + output, LANES.min(panel.count - output), from);
                    } else {
                        f(at + output, 0, 0);
                    }
                }
                at += width;
            }
        }
    }
}

/// Packs one panel of `weight` into `packed`.
pub(crate) fn pack_panel(
    weight: &[f32],
    strides: WeightStrides,
    panel: Panel,
    inputs: usize,
    taps: &[Tap],
    packed: &mut [f32],
) {
    for_each_vector(panel, inputs, taps, strides, |at, lanes, from| {
        let cell = &mut packed[at..at + LANES];
        for (i, value) in cell[..lanes].iter_mut().enumerate() {
            *value = weight[from + i * strides.output];
        }
        cell[lanes..].fill(0.0);
    });
}

/// The inverse of [`pack_panel`]: writes the packed values to their places in `weight`.
pub(crate) fn unpack_panel(
    packed: &[f32],
    strides: WeightStrides,
    panel: Panel,
    inputs: usize,
    taps: &[Tap],
    weight: &mut [f32],
) {
    for_each_vector(panel, inputs, taps, strides, |at, lanes, to| {
        for (i, &value) in packed[at..at + lanes].iter().enumerate() {
            weight[to + i * strides.output] = value;
        }
    });
}

/// All panels of `weight` in one buffer.
pub(crate) fn pack(
    weight: &[f32],
    strides: WeightStrides,
    panels: &[Panel],
    inputs: usize,
    taps: &[Tap],
) -> Buffer {
    let offsets = panel_offsets(panels, inputs, taps.len());
    let mut packed = Buffer::new(offsets[panels.len()]);
    let shared = crate::cpu::parallel::Shared::new(&mut packed);
    crate::cpu::parallel::for_each(panels.len(), |i| {
        // SAFETY: panels do not overlap, and each task writes its own.
        let part = unsafe { shared.slice(offsets[i], offsets[i + 1] - offsets[i]) };
        pack_panel(weight, strides, panels[i], inputs, taps, part);
    });
    packed
}
