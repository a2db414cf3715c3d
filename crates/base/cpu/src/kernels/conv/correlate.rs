//! Runs a [`Correlation`] over a batch: the forward pass, and each phase of the
//! input gradient.

use super::geometry::Correlation;
use super::panel::{
    Columns, Panel, WeightStrides, pack, pack_piece, panel_len, panel_offsets, panels,
};
use super::source::Source;
use super::tile::{TileArgs, run_of_tiles};
use super::winograd;
use crate::kernels::map::Map;
use crate::memory::Buffer;
use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, LANES, Simd};

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

/// Outputs up to which weights are packed by the task that uses them, a piece at a time. They are
/// used too seldom then to pay for a packed copy that leaves the caches and comes back.
const FEW: usize = 256;

/// The state that the tasks of a pass share.
struct Pass<'a> {
    work: Correlate<'a>,
    panels: Vec<Panel>,
    weights: Weights,
    bias: Buffer,
    /// Channel blocks in a piece of weights.
    piece: usize,
}

enum Weights {
    /// All panels, and where each begins.
    Packed(Buffer, Vec<usize>),
    /// As the tensor holds them.
    Plain(Columns),
}

/// A part of the output: images, rows, panels of channels.
struct Task {
    images: [usize; 2],
    rows: [usize; 2],
    panels: [usize; 2],
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
    if winograd::suits(work.correlation, work.input, work.destination.channels) {
        winograd::correlate::<S>(&work);
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
    let (weights, tasks) = if panels.len() > 1 && images * rows * columns <= FEW {
        let one = |index| Task {
            images: [0, images],
            rows: [0, rows],
            panels: [index, index + 1],
        };
        let columns = Columns::new(work.strides, taps);
        let tasks = (0..panels.len()).map(one).collect();
        (Weights::Plain(columns), tasks)
    } else {
        let packed = pack(work.weight, work.strides, &panels, channels, taps);
        let offsets = panel_offsets(&panels, channels, taps.len());
        let tasks = split(images, rows, columns, panels.len());
        (Weights::Packed(packed, offsets), tasks)
    };
    let pass = Pass {
        weights,
        piece: (PIECE / per_block).max(1),
        panels,
        bias,
        work,
    };
    for_each(tasks.len(), |i| {
        crate::simd::dispatch(RunTask(&pass, &tasks[i]));
    });
}

fn split(images: usize, rows: usize, columns: usize, panels: usize) -> Vec<Task> {
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
                panels: [0, panels],
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
        let mut copy = Buffer::new(0);
        for index in task.panels[0]..task.panels[1] {
            let panel = pass.panels[index];
            for block in (0..blocks).step_by(pass.piece) {
                let until = (block + pass.piece).min(blocks);
                let [from, to] = [block, until].map(|block| {
                    panel_len((block * LANES).min(channels), taps.len(), panel.vectors)
                });
                let weight = match &pass.weights {
                    Weights::Packed(packed, offsets) => {
                        &packed[offsets[index] + from..offsets[index] + to]
                    }
                    Weights::Plain(columns) => {
                        if copy.len() < to - from {
                            copy = Buffer::new(to - from);
                        }
                        let range = [block * LANES, (until * LANES).min(channels)];
                        pack_piece(columns, panel, range, work.weight, &mut copy[..to - from]);
                        &copy[..to - from]
                    }
                };
                let piece = Piece {
                    index,
                    panel,
                    blocks: [block, until],
                    weight,
                };
                // SAFETY: the copy was made for this task, and tasks write disjoint outputs.
                unsafe { run_piece(s, pass, task, &layout, &taps, &cells, piece) };
            }
        }
    }
}

/// A piece of the weights: some channel blocks of a panel.
#[derive(Clone, Copy)]
struct Piece<'a> {
    index: usize,
    panel: Panel,
    blocks: [usize; 2],
    /// Packed.
    weight: &'a [f32],
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
        weight,
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
    assert_eq!(weight.len(), panel_len(channels, taps.len(), panel.vectors));
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
            // weight and bias slices have their size by the assertions above, the outputs lie within the
            // destination by the assertion and belong to this task alone.
            unsafe {
                run_of_tiles(
                    s,
                    args,
                    panel.vectors,
                    columns,
                    cells[at..].as_ptr(),
                    weight.as_ptr(),
                    bias,
                    work.destination.out.as_ptr().add(place),
                );
            }
        }
    }
}
