//! Convolution with bias, residual and activation in one pass, directly by the definition.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::tile::{At, Sweep, Tail, run_of_tiles, width};
use super::{Activation, Element, Value, Words};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Values of packed weights that are reused for all rows of a task before the next piece is read; a
/// quarter of a megabyte leaves room for maps in the second-level cache.
const PIECE: usize = 48 << 10;

/// `output = activation(input * weight + bias + residual)`, a cross-correlation.
///
/// A linear layer is the 1x1 convolution of a map `[D, 1, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// The map that is read; its border is at least the padding.
    pub input: Value,
    /// The map that is written.
    pub output: Value,
    /// Added before the activation; the shape of the output.
    pub residual: Option<Value>,
    /// Sides of the kernel, `[height, width]`.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: [usize; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
    /// Number of channel groups.
    pub groups: usize,
    /// The packed weights: [`Conv::pack`].
    pub weight: Words,
    /// One number per output channel, whole vectors.
    pub bias: Words,
    /// Applied last.
    pub activation: Activation,
}

impl Conv {
    /// Blocks of input channels that block `block` of output channels reads.
    pub(super) fn input_blocks(&self, block: usize) -> [usize; 2] {
        let [c_in, c_out] = [self.input.layout.shape[0], self.output.layout.shape[0]];
        let groups = self.groups.max(1);
        let per_group = [(c_in / groups).max(1), (c_out / groups).max(1)];
        let first = block * LANES / per_group[1];
        let last = ((block * LANES + LANES).min(c_out) - 1) / per_group[1];
        [
            first * per_group[0] / LANES,
            ((last + 1) * per_group[0]).div_ceil(LANES),
        ]
    }

    /// Channels of some blocks of the input.
    pub(super) fn channels(&self, blocks: [usize; 2]) -> usize {
        (blocks[1] * LANES).min(self.input.layout.shape[0]) - blocks[0] * LANES
    }

    /// Number of taps.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Words of the packed weights of a block of output channels.
    pub(super) fn block_words(&self, block: usize) -> usize {
        self.channels(self.input_blocks(block)) * self.taps() * LANES
    }

    /// Weights `[C_out, C_in / groups, K_h, K_w]` in the order in which tiles read them:
    ///
    /// ```text
    /// [block of 16 outputs][block of 16 inputs that it reads][tap][input][output]
    /// ```
    ///
    /// with zeros where an output is not there or an input belongs to another group.
    ///
    /// # Panics
    /// If there are not as many numbers as the shapes say.
    pub fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let [c_in, c_out] = [self.input.layout.shape[0], self.output.layout.shape[0]];
        let per_group = [c_in / self.groups, c_out / self.groups];
        let taps = self.taps();
        assert_eq!(
            weight.len(),
            c_out * per_group[0] * taps,
            "number of weights"
        );
        let mut packed = Vec::new();
        for block in 0..c_out.div_ceil(LANES) {
            let [first, last] = self.input_blocks(block);
            for input in first..last {
                let lanes = LANES.min(c_in - input * LANES);
                for tap in 0..taps {
                    for i in (input * LANES..).take(lanes) {
                        for o in (block * LANES..).take(LANES) {
                            let inside = o < c_out && o / per_group[1] == i / per_group[0];
                            let at = (o * per_group[0] + i % per_group[0]) * taps + tap;
                            packed.push(if inside { weight[at] } else { 0.0 });
                        }
                    }
                }
            }
        }
        packed
    }

    /// The rows that a pass walks over: images, rows of each, columns of each row.
    ///
    /// Where neighbouring positions lie side by side over several rows these are one long row, so that
    /// tiles are full.
    pub(super) fn grid(&self, images: usize) -> Grid {
        let (input, output) = (&self.input.layout, &self.output.layout);
        let [_, rows, columns] = output.shape;
        let plain = self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0];
        let residual = self
            .residual
            .as_ref()
            .map_or(0, |value| value.layout.border);
        let seamless = plain && input.border + output.border + residual == 0;
        match seamless {
            true if rows * columns == 1 => Grid {
                images: 1,
                rows: 1,
                columns: images,
                across: true,
            },
            true => Grid {
                images,
                rows: 1,
                columns: rows * columns,
                across: false,
            },
            false => Grid {
                images,
                rows,
                columns,
                across: false,
            },
        }
    }

    /// Whether tasks share out output channels, not rows: where the weights are the larger part.
    pub(super) fn splits_channels(&self, images: usize, tasks: usize) -> bool {
        let grid = self.grid(images);
        let positions = grid.images * grid.rows * grid.columns;
        let blocks = self.output.layout.blocks();
        let even = blocks.is_multiple_of(tasks) || blocks >= 4 * tasks;
        grid.images * grid.rows < tasks
            || (even && self.weight.len > positions * self.input.layout.shape[0])
    }

    /// Runs one of `tasks` parts.
    ///
    /// # Safety
    /// The step was checked against the program; no other task has this number.
    pub(super) unsafe fn run(&self, frame: &Frame, task: usize, tasks: usize) {
        dispatch(Direct {
            conv: self,
            frame,
            task,
            tasks,
        });
    }
}

/// See [`Conv::grid`].
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub images: usize,
    pub rows: usize,
    pub columns: usize,
    /// Whether columns are images.
    pub across: bool,
}

/// The part of a step that a task does.
pub(super) struct Share {
    /// Blocks of output channels.
    pub blocks: [usize; 2],
    /// Rows, counted over all images.
    pub rows: [usize; 2],
}

impl Share {
    pub(crate) fn new(conv: &Conv, grid: Grid, task: usize, tasks: usize, images: usize) -> Self {
        let (blocks, rows) = (conv.output.layout.blocks(), grid.images * grid.rows);
        let part = |n: usize| [n * task / tasks, n * (task + 1) / tasks];
        if conv.splits_channels(images, tasks) {
            Self {
                blocks: part(blocks),
                rows: [0, rows],
            }
        } else {
            Self {
                blocks: [0, blocks],
                rows: part(rows),
            }
        }
    }
}

struct Direct<'a> {
    conv: &'a Conv,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl Kernel for Direct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { conv, frame, .. } = self;
        let grid = conv.grid(frame.images);
        let share = Share::new(conv, grid, self.task, self.tasks, frame.images);
        let (mut taps, mut count) = ([0; MAX_TAPS], 0);
        conv.for_each_tap(|offset| {
            taps[count] = offset;
            count += 1;
        });
        let mut start = conv.weight.start;
        let mut block = 0;
        while block < share.blocks[1] {
            let inputs = conv.input_blocks(block);
            let most = width::<S>(share.blocks[1].saturating_sub(block.max(share.blocks[0])));
            let alike = |v: &usize| conv.input_blocks(block + v) == inputs;
            let vectors = (1..most).take_while(alike).count() + 1;
            let vectors = match vectors {
                4 => 4,
                2..4 if S::POSITIONS[1] > 0 => 2,
                _ => 1,
            };
            if block < share.blocks[0] {
                start += conv.block_words(block);
                block += 1;
                continue;
            }
            let panel = Panel {
                first: block,
                vectors,
                inputs,
                weight: start,
                stride: conv.block_words(block),
            };
            // SAFETY: as the caller of `Conv::run` vouches.
            unsafe { self.panel(s, grid, &share, &taps[..count], panel) };
            start += panel.stride * vectors;
            block += vectors;
        }
        // SAFETY: the share's borders belong to this task.
        unsafe { frame.clear_borders(&conv.output, share.blocks, share.rows) };
    }
}

/// Blocks of output channels that are computed at once.
#[derive(Clone, Copy)]
struct Panel {
    first: usize,
    vectors: usize,
    /// Blocks of input channels.
    inputs: [usize; 2],
    /// Where their weights begin.
    weight: usize,
    /// Words from the weights of a block to those of the next.
    stride: usize,
}

pub(super) const MAX_TAPS: usize = Conv::MAX_TAPS;

impl Conv {
    /// Largest number of taps of a kernel, 11 x 11 and a little more.
    pub const MAX_TAPS: usize = 128;

    /// Words from the cell of an output to that of each tap.
    #[inline(always)]
    pub(super) fn for_each_tap(&self, mut f: impl FnMut(usize)) {
        let (row, cell) = (self.input.layout.row(), self.input.layout.cell());
        for y in 0..self.kernel[0] {
            for x in 0..self.kernel[1] {
                f(y * self.dilation[0] * row + x * self.dilation[1] * cell);
            }
        }
    }
}

impl Direct<'_> {
    /// # Safety
    /// As for [`Conv::run`].
    #[inline(always)]
    unsafe fn panel<S: Simd>(&self, s: S, grid: Grid, share: &Share, taps: &[usize], panel: Panel) {
        let (conv, frame) = (self.conv, self.frame);
        let per_block = panel.vectors * LANES * LANES * taps.len();
        let whole = panel.inputs[1] - panel.inputs[0];
        let piece = match conv.output.layout.element {
            Element::F32 => (PIECE / per_block.max(1)).clamp(1, whole),
            // Unfinished sums cannot be kept in bytes.
            Element::U8 { .. } => whole,
        };
        let mut from = panel.inputs[0];
        while from < panel.inputs[1] {
            let until = (from + piece).min(panel.inputs[1]);
            let before = conv.channels([panel.inputs[0], from.max(panel.inputs[0])]);
            let sweep = Sweep {
                taps,
                channels: conv.channels([from, until]),
                block: conv.input.layout.block(),
                step: grid.step(&conv.input, conv.stride[1]),
                weights: panel.stride,
            };
            let tail = tail(
                conv,
                grid,
                from == panel.inputs[0],
                until == panel.inputs[1],
            );
            // SAFETY: the program's check has shown that weights, maps and borders reach this far.
            unsafe {
                let weight = frame
                    .weights
                    .add(panel.weight + before * taps.len() * LANES);
                let bias = frame.weights.add(conv.bias.start + panel.first * LANES);
                for row in share.rows[0]..share.rows[1] {
                    let (image, y) = (row / grid.rows, row % grid.rows);
                    let at = At {
                        source: source(conv, frame, image, y).add(from * conv.input.layout.block()),
                        weight,
                        bias,
                        residual: residual(conv, frame, image, y, panel.first),
                        out: out(conv, frame, image, y, panel.first),
                    };
                    match sweep.step {
                        LANES => {
                            run_of_tiles::<S, LANES, false>(
                                s,
                                sweep,
                                &tail,
                                panel.vectors,
                                grid.columns,
                                at,
                            );
                        }
                        _ => run_of_tiles::<S, 0, false>(
                            s,
                            sweep,
                            &tail,
                            panel.vectors,
                            grid.columns,
                            at,
                        ),
                    }
                }
            }
            from = until;
        }
    }
}

impl Grid {
    /// Words between the cells of neighbouring columns, of which every `stride`-th is taken.
    #[inline(always)]
    pub(crate) fn step(&self, value: &Value, stride: usize) -> usize {
        if self.across {
            value.layout.words()
        } else {
            value.layout.cell() * stride
        }
    }
}

#[inline(always)]
pub(super) fn tail(conv: &Conv, grid: Grid, first: bool, last: bool) -> Tail {
    let residual = conv.residual.as_ref().unwrap_or(&conv.output);
    Tail {
        out: [grid.step(&conv.output, 1), conv.output.layout.block()],
        element: conv.output.layout.element,
        residual: [grid.step(residual, 1), residual.layout.block()],
        residual_element: residual.layout.element,
        activation: conv.activation,
        first,
        last,
    }
}

/// The first cell that output row `y` reads.
///
/// # Safety
/// As for [`Conv::run`]; so for the following two.
#[inline(always)]
pub(super) unsafe fn source(conv: &Conv, frame: &Frame, image: usize, y: usize) -> *const f32 {
    let top = (y * conv.stride[0]) as isize - conv.padding[0] as isize;
    let at = conv.input.layout.at(top, -(conv.padding[1] as isize));
    // SAFETY: the border is at least the padding.
    unsafe { frame.read(&conv.input, image).add(at) }
}

#[inline(always)]
pub(super) unsafe fn residual(
    conv: &Conv,
    frame: &Frame,
    image: usize,
    y: usize,
    block: usize,
) -> *const f32 {
    match &conv.residual {
        // SAFETY: the residual has the output's shape.
        Some(value) => unsafe {
            let layout = &value.layout;
            frame
                .read(value, image)
                .add(block * layout.block() + layout.at(y as isize, 0))
        },
        None => std::ptr::null(),
    }
}

#[inline(always)]
pub(super) unsafe fn out(
    conv: &Conv,
    frame: &Frame,
    image: usize,
    y: usize,
    block: usize,
) -> *mut f32 {
    let layout = &conv.output.layout;
    // SAFETY: the block and row are the output's.
    unsafe {
        frame
            .write(&conv.output, image)
            .add(block * layout.block() + layout.at(y as isize, 0))
    }
}
