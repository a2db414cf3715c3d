//! Depthwise convolution: every channel has its own filter, a vector is sixteen of them.

use super::conv::{Conv, MAX_TAPS, Share, out, residual, source};
use super::frame::Frame;
use super::layout::{load, store};
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Output positions of a tile.
const POSITIONS: usize = 4;

impl Conv {
    /// Whether every group has one input and one output channel.
    pub fn is_depthwise(&self) -> bool {
        let [c_in, c_out] = [self.input.layout.shape[0], self.output.layout.shape[0]];
        self.groups > 1 && self.groups == c_in && c_in == c_out
    }

    /// Filters `[C, 1, K_h, K_w]` as `[block of 16 channels][tap][channel]`.
    ///
    /// # Panics
    /// If there are not as many numbers as the shapes say.
    pub fn pack_depthwise(&self, weight: &[f32]) -> Vec<f32> {
        let (channels, taps) = (self.output.layout.shape[0], self.taps());
        assert_eq!(weight.len(), channels * taps, "number of weights");
        let mut packed = vec![0.0; channels.div_ceil(LANES) * taps * LANES];
        for (i, &value) in weight.iter().enumerate() {
            let (c, tap) = (i / taps, i % taps);
            packed[(c / LANES * taps + tap) * LANES + c % LANES] = value;
        }
        packed
    }

    /// Runs one of `tasks` parts of a depthwise convolution.
    ///
    /// # Safety
    /// As for [`Conv::run`], with weights from [`Conv::pack_depthwise`].
    pub(super) unsafe fn run_depthwise(&self, frame: &Frame, task: usize, tasks: usize) {
        dispatch(Depthwise {
            conv: self,
            frame,
            task,
            tasks,
        });
    }
}

struct Depthwise<'a> {
    conv: &'a Conv,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { conv, frame, .. } = self;
        let [_, rows, columns] = conv.output.layout.shape;
        let blocks = conv.output.layout.blocks();
        let units = frame.images * blocks;
        // Rows are shared out where there are too few maps.
        let share = if units < self.tasks {
            Share {
                blocks: [0, blocks],
                rows: part(frame.images * rows, self.task, self.tasks),
            }
        } else {
            Share {
                blocks: [0, blocks],
                rows: [0, frame.images * rows],
            }
        };
        let units = if units < self.tasks {
            [0, units]
        } else {
            part(units, self.task, self.tasks)
        };
        let (mut taps, mut count) = ([0; MAX_TAPS], 0);
        conv.for_each_tap(|offset| {
            taps[count] = offset;
            count += 1;
        });
        for unit in units[0]..units[1] {
            let (image, block) = (unit / blocks, unit % blocks);
            let first = share.rows[0].saturating_sub(image * rows).min(rows);
            let last = share.rows[1].saturating_sub(image * rows).min(rows);
            for y in first..last {
                // SAFETY: the check has shown that weights, maps and borders reach this far; the rows
                // belong to this task.
                unsafe { self.row(s, &taps[..count], [image, block, y], columns) };
            }
            // SAFETY: the rows of this block belong to this task.
            unsafe {
                let image = frame.write(&conv.output, image);
                (conv.output.layout).clear_border(image, [block, block + 1], [first, last]);
            }
        }
    }
}

fn part(n: usize, task: usize, tasks: usize) -> [usize; 2] {
    [n * task / tasks, n * (task + 1) / tasks]
}

impl Depthwise<'_> {
    /// # Safety
    /// As for [`Conv::run_depthwise`]; the row belongs to this task.
    #[inline(always)]
    unsafe fn row<S: Simd>(
        &self,
        s: S,
        taps: &[usize],
        [image, block, y]: [usize; 3],
        columns: usize,
    ) {
        let (conv, frame) = (self.conv, self.frame);
        // SAFETY: as the caller vouches.
        unsafe {
            let row = Row {
                source: source(conv, frame, image, y).add(block * conv.input.layout.block()),
                residual: residual(conv, frame, image, y, block),
                out: out(conv, frame, image, y, block),
                weight: frame
                    .weights
                    .add(conv.weight.start + block * taps.len() * LANES),
                bias: frame.weights.add(conv.bias.start + block * LANES),
            };
            let mut x = 0;
            while x + POSITIONS <= columns {
                self.tile::<S, POSITIONS>(s, taps, &row, x);
                x += POSITIONS;
            }
            while x < columns {
                self.tile::<S, 1>(s, taps, &row, x);
                x += 1;
            }
        }
    }

    /// # Safety
    /// As for `row`, of which `P` columns from `x` on are computed.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize>(&self, s: S, taps: &[usize], row: &Row, x: usize) {
        let conv = self.conv;
        let (input, output) = (&conv.input.layout, &conv.output.layout);
        // SAFETY: as the caller vouches.
        unsafe {
            let mut acc = [s.load(row.bias); P];
            let step = input.cell() * conv.stride[1];
            for (t, &tap) in taps.iter().enumerate() {
                let w = s.load(row.weight.add(t * LANES));
                for p in 0..P {
                    let cell = row.source.add(tap + (x + p) * step);
                    acc[p] = s.fma(load(s, input.element, cell), w, acc[p]);
                }
            }
            for p in 0..P {
                let mut v = acc[p];
                if let Some(value) = &conv.residual {
                    let cell = row.residual.add((x + p) * value.layout.cell());
                    v = s.add(v, load(s, value.layout.element, cell));
                }
                let to = row.out.add((x + p) * output.cell());
                store(s, output.element, to, conv.activation.apply(s, v));
            }
        }
    }
}

/// The addresses of an output row.
struct Row {
    source: *const f32,
    residual: *const f32,
    out: *mut f32,
    weight: *const f32,
    bias: *const f32,
}
