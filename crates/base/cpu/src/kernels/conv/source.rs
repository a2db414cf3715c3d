//! The padded, blocked copy of a piece of the input that tiles read from.
//!
//! A cell is sixteen neighbouring channels of one position, one cache line. Cells
//! of one channel block form rows; a row is split into one plane per column phase
//! (column modulo the step), so that the cells read by neighbouring outputs are
//! neighbours for every step. Padding is in the copy, so tiles have no edges.

use super::geometry::Correlation;
use crate::kernels::map::Map;
use crate::simd::LANES;

/// Layout of the copy for `rows` output rows of `images` images.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Copied rows.
    rows: usize,
    /// Column phases.
    phases: usize,
    /// Cells of a phase.
    columns: usize,
    /// Whether any tap reads the phase.
    used_phase: Vec<bool>,
    /// Whether any tap reads rows that are congruent to this modulo the row step.
    used_row: Vec<bool>,
    pad: [isize; 2],
    step: [usize; 2],
    /// Channel blocks.
    blocks: usize,
}

impl Source {
    /// The layout for `rows` output rows of `correlation` and `channels` channels.
    pub(crate) fn new(correlation: &Correlation, rows: usize, channels: usize) -> Self {
        let reach = |axis: usize| {
            let taps = correlation.taps.iter();
            taps.map(|tap| tap.offset[axis]).max().unwrap_or(0)
        };
        let [step_y, step_x] = correlation.step;
        let mut used_phase = vec![false; step_x];
        let mut used_row = vec![false; step_y];
        for tap in &correlation.taps {
            used_row[tap.offset[0] % step_y] = true;
            used_phase[tap.offset[1] % step_x] = true;
        }
        Self {
            rows: (rows - 1) * step_y + reach(0) + 1,
            phases: step_x,
            columns: correlation.out[1] + reach(1) / step_x,
            used_phase,
            used_row,
            pad: correlation.pad,
            step: correlation.step,
            blocks: channels.div_ceil(LANES),
        }
    }

    /// Values between vertically neighbouring cells.
    pub(crate) fn row_stride(&self) -> usize {
        self.phases * self.columns * LANES
    }

    /// Values of one channel block.
    pub(crate) fn block_stride(&self) -> usize {
        self.rows * self.row_stride()
    }

    /// Values of one image.
    pub(crate) fn image_stride(&self) -> usize {
        self.blocks * self.block_stride()
    }

    /// Where an output at the origin finds the cell of a tap.
    pub(crate) fn tap_offset(&self, [y, x]: [usize; 2]) -> usize {
        let phase = (x % self.phases) * self.columns + x / self.phases;
        y * self.row_stride() + phase * LANES
    }

    /// Copies one channel block of image `n`, for the outputs from row `first_row` on.
    /// Cells outside the map become zero.
    #[inline(always)]
    pub(crate) fn fill(
        &self,
        map: Map,
        n: usize,
        first_row: usize,
        block: usize,
        cells: &mut [f32],
    ) {
        let [_, _, height, width] = map.shape();
        let stride = self.row_stride();
        for (r, cells) in cells[..self.block_stride()]
            .chunks_exact_mut(stride)
            .enumerate()
        {
            if !self.used_row[r % self.step[0]] {
                continue;
            }
            let y = (first_row * self.step[0] + r) as isize - self.pad[0];
            if y < 0 || y >= height as isize {
                cells.fill(0.0);
                continue;
            }
            for (phase, cells) in cells.chunks_exact_mut(self.columns * LANES).enumerate() {
                if self.used_phase[phase] {
                    self.fill_phase(map, [n, y as usize], width, phase, block, cells);
                }
            }
        }
    }

    #[inline(always)]
    fn fill_phase(
        &self,
        map: Map,
        [n, y]: [usize; 2],
        width: usize,
        phase: usize,
        block: usize,
        cells: &mut [f32],
    ) {
        let step = self.step[1];
        // Cell j shows column phase + j * step - pad.
        let start = phase as isize - self.pad[1];
        let cells_before = |column: isize| (column.max(0) as usize).div_ceil(step);
        let from = cells_before(-start).min(self.columns);
        let until = cells_before(width as isize - start).clamp(from, self.columns);
        cells[..from * LANES].fill(0.0);
        cells[until * LANES..].fill(0.0);
        if until > from {
            let x = (start + (from * step) as isize) as usize;
            let cells = &mut cells[from * LANES..until * LANES];
            map.copy_row([n, y, x], self.step[1], until - from, block, cells);
        }
    }
}
