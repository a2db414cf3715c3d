//! Runs a [`Correlation`] over a batch: the forward pass, and each phase of the
//! input gradient.

use super::geometry::Correlation;
use super::panel::{Panel, WeightStrides, pack, panel_len, panel_offsets, panels};
use super::source::Source;
use super::tile::{TileArgs, run_of_tiles};
use crate::cpu::map::Map;
use crate::cpu::memory::Buffer;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::simd::{Kernel, LANES, Simd};

/// Values of packed weights that are reused for many outputs before the next
/// piece is read; a quarter of a megabyte leaves room for the source in the second-level cache.
const PIECE: usize = 48 << 10;

/// Outputs that should share one reading of a piece of weights.
const SHARING: usize = 96;

/// Where outputs go: `image * n + row * y + column * x + channel`.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// The output, `first` being the place of the first channel of this pass.
    pub out: Shared<'a>,
    /// Place of the first value of this pass.
    pub first: usize,
    /// Distances of images, rows and columns.
    pub strides: [usize; 3],
    /// Output channels of this pass.
    pub channels: usize,
}

/// One correlation with its data.
pub(crate) struct Correlate<'a> {
    /// What to compute.
    pub correlation: &'a Correlation,
    /// Input, only the channels of this pass.
    pub input: Map<'a>,
    /// Weights as the tensor holds them, from the first output channel of this pass on.
    pub weight: &'a [f32],
    /// How `weight` is read.
    pub strides: WeightStrides,
    /// Whether to add to what the destination holds, in place of the bias.
    pub accumulate: bool,
    /// Bias of each output channel.
    pub bias: Option<&'a [f32]>,
    /// Where the outputs go.
    pub destination: Destination<'a>,
}

/// The state that the tasks of a pass share.
struct Pass<'a> {
    work: Correlate<'a>,
    panels: Vec<Panel>,
    offsets: Vec<usize>,
    packed: Buffer,
    bias: Buffer,
    /// Channel blocks in a piece of weights.
    piece: usize,
}

/// A part of the output: images, rows.
struct Task {
    images: [usize; 2],
    rows: [usize; 2],
}

impl Kernel for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        correlate::<S>(self);
    }
}

/// Splits the work and runs the tasks.
///
/// The split changes no result: an output is always summed over blocks, taps and
/// channels in the same order.
fn correlate<S: Simd>(work: Correlate) {
    let [images, channels, _, _] = work.input.shape();
    let [rows, columns] = work.correlation.out;
    if images * rows * columns == 0 || work.destination.channels == 0 {
        return;
    }
    let taps = &work.correlation.taps;
    let panels = panels::<S>(work.destination.channels);
    let widest = panels.iter().map(|p| p.vectors).max().unwrap_or(1);
    let per_block = panel_len(LANES, taps.len().max(1), widest);
    let mut bias = Buffer::zeroed(panels.len() * 4 * LANES);
    if let Some(values) = work.bias {
        for (panel, cell) in panels.iter().zip(bias.chunks_exact_mut(4 * LANES)) {
            cell[..panel.count].copy_from_slice(&values[panel.first..panel.first + panel.count]);
        }
    }
    let pass = Pass {
        packed: pack(work.weight, work.strides, &panels, channels, taps),
        offsets: panel_offsets(&panels, channels, taps.len()),
        piece: (PIECE / per_block).max(1),
        panels,
        bias,
        work,
    };
    let tasks = split(images, rows, columns);
    for_each(tasks.len(), |i| {
        super::super::simd::dispatch(RunTask(&pass, &tasks[i]));
    });
}

fn split(images: usize, rows: usize, columns: usize) -> Vec<Task> {
    let group = SHARING.div_ceil(rows * columns).min(images);
    let groups = images.div_ceil(group);
    let workers = rayon::current_num_threads();
    // Too few groups of images to go round: cut the maps into bands of rows as well.
    let bands = if workers > 1 && groups < 2 * workers {
        (2 * workers).div_ceil(groups).min(rows)
    } else {
        1
    };
    let mut tasks = Vec::with_capacity(groups * bands);
    for g in 0..groups {
        for b in 0..bands {
            tasks.push(Task {
                images: [g * group, ((g + 1) * group).min(images)],
                rows: [rows * b / bands, rows * (b + 1) / bands],
            });
        }
    }
    tasks
}

struct RunTask<'a>(&'a Pass<'a>, &'a Task);

impl Kernel for RunTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(pass, task) = self;
        let work = &pass.work;
        let channels = work.input.shape()[1];
        let rows = task.rows[1] - task.rows[0];
        let layout = Source::new(work.correlation, rows, channels);
        let images = task.images[1] - task.images[0];
        let mut cells = Buffer::new(images * layout.image_stride());
        let blocks = channels.div_ceil(LANES);
        if !work.correlation.taps.is_empty() {
            for (i, n) in (task.images[0]..task.images[1]).enumerate() {
                for block in 0..blocks {
                    let at = i * layout.image_stride() + block * layout.block_stride();
                    layout.fill(work.input, n, task.rows[0], block, &mut cells[at..]);
                }
            }
        }
        let taps: Vec<usize> = work
            .correlation
            .taps
            .iter()
            .map(|tap| layout.tap_offset(tap.offset))
            .collect();
        for (index, &panel) in pass.panels.iter().enumerate() {
            let mut block = 0;
            while block < blocks {
                let until = (block + pass.piece).min(blocks);
                let piece = Piece {
                    index,
                    panel,
                    blocks: [block, until],
                };
                // SAFETY: the copy was made for this task, and tasks write disjoint outputs.
                unsafe { run_piece(s, pass, task, &layout, &taps, &cells, piece) };
                block = until;
            }
        }
    }
}

/// A piece of the weights: some channel blocks of a panel.
#[derive(Clone, Copy)]
struct Piece {
    index: usize,
    panel: Panel,
    blocks: [usize; 2],
}

/// # Safety
/// `cells` has the layout `layout` for the images and rows of `task`; nothing else
/// accesses the outputs of the task.
#[inline(always)]
unsafe fn run_piece<S: Simd>(
    s: S,
    pass: &Pass,
    task: &Task,
    layout: &Source,
    taps: &[usize],
    cells: &[f32],
    piece: Piece,
) {
    let work = &pass.work;
    let Piece {
        index,
        panel,
        blocks,
    } = piece;
    let correlation = work.correlation;
    let [image_stride, row_stride, column_stride] = work.destination.strides;
    let channels = (work.input.shape()[1]).min(blocks[1] * LANES) - blocks[0] * LANES;
    let args = TileArgs {
        taps,
        channels,
        block_stride: layout.block_stride(),
        out_stride: column_stride * correlation.spread[1],
        count: panel.count,
        accumulate: work.accumulate || blocks[0] > 0,
    };
    let weight_at = pass.offsets[index] + panel_len(blocks[0] * LANES, taps.len(), panel.vectors);
    let weight_end = weight_at + panel_len(channels, taps.len(), panel.vectors);
    let weight = pass.packed[weight_at..weight_end].as_ptr();
    let bias = pass.bias[index * 4 * LANES..(index + 1) * 4 * LANES].as_ptr();
    let columns = correlation.out[1];
    for (i, n) in (task.images[0]..task.images[1]).enumerate() {
        for (r, row) in (task.rows[0]..task.rows[1]).enumerate() {
            let at = i * layout.image_stride()
                + blocks[0] * layout.block_stride()
                + r * correlation.step[0] * layout.row_stride();
            let place = work.destination.first
                + panel.first
                + n * image_stride
                + (correlation.first[0] + row * correlation.spread[0]) * row_stride
                + correlation.first[1] * column_stride;
            let last = place + (columns - 1) * args.out_stride + panel.count;
            assert!(last <= work.destination.out.len(), "output too short");
            // SAFETY: the layout holds a cell for every tap of every output of the row, the
            // weight and bias slices were cut to size above, the outputs lie within the
            // destination by the assertion and belong to this task alone.
            unsafe {
                run_of_tiles(
                    s,
                    args,
                    panel.vectors,
                    columns,
                    cells[at..].as_ptr(),
                    weight,
                    bias,
                    work.destination.out.as_ptr().add(place),
                );
            }
        }
    }
}
