//! 3x3 convolutions of stride 1 by Winograd's `F(2x2, 3x3)`, see [`crate::kernels::conv`].

use super::conv::{Conv, out, residual};
use super::frame::Frame;
use super::layout::{load, store};
use super::tile::{At, Sweep, Tail, run_of_tiles, width};
use super::{Activation, Element};
use crate::kernels::conv::winograd::transform;
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// Entries of a transformed tile.
const ENTRIES: usize = 16;

/// Values of the transformed inputs and sums of a piece; they fill most of the second-level cache.
const PIECE: usize = 192 << 10;

/// Tiles that should share one reading of the weights, which are larger than the caches.
const SHARING: usize = 48;

impl Conv {
    /// Whether [`Conv::pack_winograd`] and the step that takes its weights suit this convolution.
    pub fn is_winograd(&self) -> bool {
        let [input, output] = [self.input.layout, self.output.layout];
        self.kernel == [3, 3]
            && self.stride == [1, 1]
            && self.dilation == [1, 1]
            && self.padding[0] <= 1
            && self.padding[1] <= 1
            && self.groups == 1
            && input.shape[0].is_multiple_of(LANES)
            && output.shape[1].is_multiple_of(2)
            && output.shape[2].is_multiple_of(2)
    }

    /// Weights `[C_out, C_in, 3, 3]`, transformed:
    ///
    /// ```text
    /// [entry of G g G^T][block of 16 outputs][input][output]
    /// ```
    ///
    /// # Panics
    /// If there are not as many numbers as the shapes say.
    pub fn pack_winograd(&self, weight: &[f32]) -> Vec<f32> {
        const G: [[f64; 3]; 4] = [
            [1.0, 0.0, 0.0],
            [0.5, 0.5, 0.5],
            [0.5, -0.5, 0.5],
            [0.0, 0.0, 1.0],
        ];
        let [c_in, c_out] = [self.input.layout.shape[0], self.output.layout.shape[0]];
        assert_eq!(weight.len(), c_out * c_in * 9, "number of weights");
        let blocks = c_out.div_ceil(LANES);
        let mut packed = vec![0.0; ENTRIES * blocks * c_in * LANES];
        for (i, kernel) in weight.chunks_exact(9).enumerate() {
            let (output, input) = (i / c_in, i % c_in);
            for entry in 0..ENTRIES {
                let (row, column) = (G[entry / 4], G[entry % 4]);
                let sum: f64 = (0..9)
                    .map(|k| row[k / 3] * column[k % 3] * f64::from(kernel[k]))
                    .sum();
                let block = (entry * blocks + output / LANES) * c_in + input;
                packed[block * LANES + output % LANES] = sum as f32;
            }
        }
        packed
    }

    /// Words of scratch memory of a thread that runs it as Winograd's.
    pub(super) fn winograd_scratch(&self) -> usize {
        self.piece() * ENTRIES * self.padded_channels()
    }

    fn padded_channels(&self) -> usize {
        (self.input.layout.blocks() + self.output.layout.blocks()) * LANES
    }

    /// Tiles that are transformed at a time.
    fn piece(&self) -> usize {
        (PIECE / (ENTRIES * self.padded_channels())).max(SHARING)
    }

    /// Runs one of `tasks` parts by Winograd's filtering.
    ///
    /// # Safety
    /// As for [`Conv::run`], with weights from [`Conv::pack_winograd`] and the scratch memory that
    /// [`Conv::winograd_scratch`] states.
    pub(super) unsafe fn run_winograd(&self, frame: &Frame, task: usize, tasks: usize) {
        dispatch(Filtering {
            conv: self,
            frame,
            task,
            tasks,
        });
    }
}

struct Filtering<'a> {
    conv: &'a Conv,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl Kernel for Filtering<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { conv, frame, .. } = self;
        let [_, height, width] = conv.output.layout.shape;
        // Rows of tiles over all images; a task has whole rows, because borders go with rows.
        let rows = frame.images * height / 2;
        let [from, until] = [self.task, self.task + 1].map(|i| rows * i / self.tasks * (width / 2));
        let piece = conv.piece();
        let pieces = (until - from).div_ceil(piece).max(1);
        for i in 0..pieces {
            let first = from + (until - from) * i / pieces;
            let count = from + (until - from) * (i + 1) / pieces - first;
            if count > 0 {
                // SAFETY: as the caller of `Conv::run_winograd` vouches; a piece fits the scratch.
                unsafe { self.piece(s, first, count) };
            }
        }
        let rows = [from, until].map(|tile| tile / (width / 2) * 2);
        // SAFETY: the rows belong to this task.
        unsafe { frame.clear_borders(&conv.output, [0, conv.output.layout.blocks()], rows) };
    }
}

impl Filtering<'_> {
    /// # Safety
    /// As for [`Conv::run_winograd`]; `count` tiles from `first` on belong to this task and fit the
    /// scratch memory.
    #[inline(always)]
    unsafe fn piece<S: Simd>(&self, s: S, first: usize, count: usize) {
        let (conv, frame) = (self.conv, self.frame);
        let [inputs, outputs] = [&conv.input, &conv.output].map(|value| value.layout.blocks());
        let c_in = conv.input.layout.shape[0];
        let cells = frame.scratch;
        let [cell_entry, sum_entry] = [inputs, outputs].map(|blocks| blocks * count * LANES);
        // SAFETY: cells and sums of a piece fit the scratch memory; the border holds what tiles at
        // the edge read; the weights have the size that the check demands.
        unsafe {
            let sums = cells.add(ENTRIES * cell_entry);
            for i in 0..count {
                self.transform(
                    s,
                    first + i,
                    cells.add(i * LANES),
                    [cell_entry, count * LANES],
                );
            }
            let sweep = Sweep {
                taps: &[0],
                channels: c_in,
                block: count * LANES,
                step: LANES,
                weights: c_in * LANES,
            };
            let tail = Tail {
                out: [LANES, count * LANES],
                element: Element::F32,
                residual: [0, 0],
                residual_element: Element::F32,
                activation: Activation::None,
                first: true,
                last: true,
            };
            for e in 0..ENTRIES {
                let mut block = 0;
                while block < outputs {
                    let vectors = width::<S>(outputs - block);
                    let at = At {
                        source: cells.add(e * cell_entry),
                        weight: frame
                            .weights
                            .add(conv.weight.start + (e * outputs + block) * sweep.weights),
                        bias: std::ptr::null(),
                        residual: std::ptr::null(),
                        out: sums.add(e * sum_entry + block * count * LANES),
                    };
                    run_of_tiles::<S, LANES, true>(s, sweep, &tail, vectors, count, at);
                    block += vectors;
                }
            }
            for i in 0..count {
                self.finish(
                    s,
                    first + i,
                    sums.add(i * LANES),
                    [sum_entry, count * LANES],
                );
            }
        }
    }

    /// Image, and place of the first output of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 3] {
        let [_, height, width] = self.conv.output.layout.shape;
        let (row, x) = (tile / (width / 2), tile % (width / 2) * 2);
        [row / (height / 2), row % (height / 2) * 2, x]
    }

    /// # Safety
    /// As for `piece`; `to + e * entry + b * block` is a writable cell for every entry and input block.
    #[inline(always)]
    unsafe fn transform<S: Simd>(
        &self,
        s: S,
        tile: usize,
        to: *mut f32,
        [entry, block]: [usize; 2],
    ) {
        let (conv, layout) = (self.conv, &self.conv.input.layout);
        let [image, y, x] = self.place(tile);
        let corner = layout.at(
            y as isize - conv.padding[0] as isize,
            x as isize - conv.padding[1] as isize,
        );
        // SAFETY: the border is at least the padding, and the sides are even.
        unsafe {
            let from = self.frame.read(&conv.input, image).add(corner);
            for b in 0..layout.blocks() {
                let from = from.add(b * layout.block());
                // Not zeros first: the compiler would call `memset` for them.
                let d = std::array::from_fn(|e| {
                    let cell = from.add(e / 4 * layout.row() + e % 4 * layout.cell());
                    load(s, layout.element, cell)
                });
                let entries = transform::input(s, d);
                for e in 0..ENTRIES {
                    s.store(to.add(e * entry + b * block), entries[e / 4][e % 4]);
                }
            }
        }
    }

    /// # Safety
    /// As for `piece`; `sums + e * entry + b * block` is a readable cell for every entry and block.
    #[inline(always)]
    unsafe fn finish<S: Simd>(
        &self,
        s: S,
        tile: usize,
        sums: *const f32,
        [entry, block]: [usize; 2],
    ) {
        let (conv, frame) = (self.conv, self.frame);
        let layout = &conv.output.layout;
        let [image, y, x] = self.place(tile);
        // SAFETY: the tile's outputs and residuals lie within their maps.
        unsafe {
            for b in 0..layout.blocks() {
                let m = std::array::from_fn(|e| s.load(sums.add(e * entry + b * block)));
                let values = transform::output(s, m);
                let bias = s.load(frame.weights.add(conv.bias.start + b * LANES));
                for i in 0..2 {
                    let to = out(conv, frame, image, y + i, b).add(x * layout.cell());
                    let mut from = residual(conv, frame, image, y + i, b);
                    for j in 0..2 {
                        let mut v = s.add(values[i][j], bias);
                        if let Some(value) = &conv.residual {
                            from = if j == 0 {
                                from.add(x * value.layout.cell())
                            } else {
                                from.add(value.layout.cell())
                            };
                            v = s.add(v, load(s, value.layout.element, from));
                        }
                        let v = conv.activation.apply(s, v);
                        store(s, layout.element, to.add(j * layout.cell()), v);
                    }
                }
            }
        }
    }
}
