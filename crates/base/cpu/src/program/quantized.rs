//! Convolution of bytes.

use serde::{Deserialize, Serialize};

use super::conv::{Conv, Grid, MAX_TAPS, Share, out, residual, source};
use super::frame::Frame;
use super::layout::{load, store};
use super::{Element, Words};
use crate::simd::dot::{Dot, DotKernel, dispatch_dot};
use crate::simd::{LANES, Simd};

/// Words of a cell of bytes.
const CELL: usize = LANES / 4;

/// A convolution of bytes with bytes, exact in 32-bit integers:
///
/// ```text
/// output = activation(scale[o] * sum(q_input * q_weight) + bias[o] + residual)
/// ```
///
/// With `input = s * (q - z)` and `weight = t[o] * q_weight`, `scale[o]` is `s * t[o]` and the bias has
/// `-scale[o] * z * sum(q_weight[o])` in it; the border holds `z`, so that holds at the edge as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantized {
    /// Maps and geometry; one group, the input in bytes, weights from [`Quantized::pack`].
    pub conv: Conv,
    /// One number an output channel.
    pub scale: Words,
}

/// Weights rounded to bytes: `weight = scale[o] * byte`.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteWeights {
    /// In the order of the weights.
    pub bytes: Vec<i8>,
    /// One number an output channel.
    pub scales: Vec<f32>,
    /// The sum of an output channel's bytes.
    pub sums: Vec<i32>,
}

impl ByteWeights {
    /// The nearest multiples of each output channel's largest weight divided by 127.
    pub fn new(weight: &[f32], outputs: usize) -> Self {
        let mut rounded = Self {
            bytes: Vec::with_capacity(weight.len()),
            scales: Vec::with_capacity(outputs),
            sums: Vec::with_capacity(outputs),
        };
        for channel in weight.chunks_exact((weight.len() / outputs.max(1)).max(1)) {
            let largest = channel.iter().fold(0.0, |max: f32, w| max.max(w.abs()));
            let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
            let bytes = channel.iter().map(|w| (w / scale).round() as i8);
            let first = rounded.bytes.len();
            rounded.bytes.extend(bytes);
            rounded.scales.push(scale);
            let sum = rounded.bytes[first..].iter().map(|&b| i32::from(b)).sum();
            rounded.sums.push(sum);
        }
        rounded
    }
}

impl Quantized {
    /// Words of the packed weights of a block of output channels.
    fn block_words(conv: &Conv) -> usize {
        let quads: usize = (0..conv.input.layout.blocks())
            .map(|b| quads(conv, b))
            .sum();
        quads * conv.taps() * LANES
    }

    /// Words of all packed weights.
    pub(super) fn weight_words(&self) -> usize {
        Self::block_words(&self.conv) * self.conv.output.layout.blocks()
    }

    /// Weights `[C_out, C_in, K_h, K_w]` in the order in which tiles read them, as words of four bytes:
    ///
    /// ```text
    /// [block of 16 outputs][block of 16 inputs][tap][four inputs][output][input of the four]
    /// ```
    ///
    /// # Panics
    /// If there are not as many bytes as the shapes say.
    pub fn pack(conv: &Conv, weight: &[i8]) -> Vec<f32> {
        let [c_in, c_out] = [conv.input.layout.shape[0], conv.output.layout.shape[0]];
        let taps = conv.taps();
        assert_eq!(weight.len(), c_out * c_in * taps, "number of weights");
        let byte = |o: usize, i: usize, tap: usize| {
            if o < c_out && i < c_in {
                weight[(o * c_in + i) * taps + tap] as u8
            } else {
                0
            }
        };
        let mut packed = Vec::new();
        for block in 0..c_out.div_ceil(LANES) {
            for input in 0..c_in.div_ceil(LANES) {
                for tap in 0..taps {
                    for quad in 0..quads(conv, input) {
                        for o in (block * LANES..).take(LANES) {
                            let first = input * LANES + 4 * quad;
                            let bytes = [0, 1, 2, 3].map(|k| byte(o, first + k, tap));
                            packed.push(f32::from_bits(u32::from_le_bytes(bytes)));
                        }
                    }
                }
            }
        }
        packed
    }

    /// Runs one of `tasks` parts.
    ///
    /// # Safety
    /// As for [`Conv::run`].
    pub(super) unsafe fn run(&self, frame: &Frame, task: usize, tasks: usize) {
        dispatch_dot(Bytes {
            step: self,
            frame,
            task,
            tasks,
        });
    }
}

/// Groups of four inputs in a block of the input.
#[inline(always)]
fn quads(conv: &Conv, block: usize) -> usize {
    (conv.input.layout.shape[0] - block * LANES)
        .min(LANES)
        .div_ceil(4)
}

struct Bytes<'a> {
    step: &'a Quantized,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl DotKernel for Bytes<'_> {
    #[inline(always)]
    fn run<S: Simd, D: Dot<S>>(self, s: S, d: D) {
        let (conv, frame) = (&self.step.conv, self.frame);
        let [_, rows, columns] = conv.output.layout.shape;
        let grid = Grid {
            images: frame.images,
            rows,
            columns,
            across: false,
        };
        let share = Share::new(conv, grid, self.task, self.tasks, frame.images);
        let (mut taps, mut count) = ([0; MAX_TAPS], 0);
        conv.for_each_tap(|offset| {
            taps[count] = offset;
            count += 1;
        });
        let stride = Quantized::block_words(conv);
        let mut block = share.blocks[0];
        while block < share.blocks[1] {
            let vectors = match share.blocks[1] - block {
                4.. if D::POSITIONS[2] > 0 => 4,
                2.. if D::POSITIONS[1] > 0 => 2,
                _ => 1,
            };
            let start = conv.weight.start + block * stride;
            for row in share.rows[0]..share.rows[1] {
                let (image, y) = (row / rows, row % rows);
                // SAFETY: the check has shown that weights, maps and borders reach this far; the rows
                // and blocks belong to this task.
                unsafe {
                    let at = At {
                        source: source(conv, frame, image, y),
                        weight: frame.weights.add(start),
                        scale: frame.weights.add(self.step.scale.start + block * LANES),
                        bias: frame.weights.add(conv.bias.start + block * LANES),
                        residual: residual(conv, frame, image, y, block),
                        out: out(conv, frame, image, y, block),
                    };
                    let pass = Pass {
                        conv,
                        taps: &taps[..count],
                        stride,
                        residual: conv.residual.map(|value| value.layout.element),
                    };
                    run_of_tiles(s, d, &pass, vectors, columns, at);
                }
            }
            block += vectors;
        }
        // SAFETY: the share's borders belong to this task.
        unsafe { frame.clear_borders(&conv.output, share.blocks, share.rows) };
    }
}

/// What all tiles of a pass have in common.
struct Pass<'a> {
    conv: &'a Conv,
    taps: &'a [usize],
    /// Words from the weights of a block of output channels to those of the next.
    stride: usize,
    residual: Option<Element>,
}

/// The addresses of a tile.
#[derive(Clone, Copy)]
struct At {
    source: *const f32,
    weight: *const f32,
    scale: *const f32,
    bias: *const f32,
    residual: *const f32,
    out: *mut f32,
}

/// Most vectors of sums in a tile.
const SUMS: usize = 24;

/// The sums of a tile as numbers, `[output][block of output channels]`.
type Sums = [f32; SUMS * LANES];

/// # Safety
/// As for `run_of_tiles`, with `P` outputs and `V` blocks of output channels.
#[inline(always)]
unsafe fn tile<S: Simd, D: Dot<S>, const P: usize, const V: usize, const STEP: usize>(
    s: S,
    d: D,
    pass: &Pass,
    at: At,
    sums: &mut Sums,
) {
    let conv = pass.conv;
    let input = &conv.input.layout;
    let step = if STEP > 0 {
        STEP
    } else {
        CELL * conv.stride[1]
    };
    // SAFETY: as the caller vouches.
    unsafe {
        let mut acc = [[d.zero(); V]; P];
        let mut weight = at.weight;
        for block in 0..input.blocks() {
            let source = at.source.add(block * input.block());
            for &tap in pass.taps {
                let cell = s.opaque(source.add(tap));
                if quads(conv, block) == 4 {
                    for quad in 0..4 {
                        let cell = cell.add(quad);
                        four::<S, D, P, V>(d, &mut acc, cell, step, weight, pass.stride);
                        weight = weight.add(LANES);
                    }
                } else {
                    for quad in 0..quads(conv, block) {
                        let cell = cell.add(quad);
                        four::<S, D, P, V>(d, &mut acc, cell, step, weight, pass.stride);
                        weight = weight.add(LANES);
                    }
                }
            }
        }
        for p in 0..P {
            for v in 0..V {
                let to = sums.as_mut_ptr().add((p * V + v) * LANES);
                s.store(to, d.numbers(s, acc[p][v]));
            }
        }
    }
}

/// `out[p][v] = activation(scale * sums[p][v] + bias + residual[p][v])`.
///
/// # Safety
/// The outputs are writable and nobody else's, the residuals readable.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, pass: &Pass, [size, vectors]: [usize; 2], at: At, sums: &Sums) {
    let conv = pass.conv;
    let output = &conv.output.layout;
    for v in 0..vectors {
        // SAFETY: as the caller vouches; a tile has no more sums than there is room for.
        unsafe {
            let scale = s.load(at.scale.add(v * LANES));
            let bias = s.load(at.bias.add(v * LANES));
            for p in 0..size {
                let sum = s.load(sums.as_ptr().add((p * vectors + v) * LANES));
                let mut y = s.fma(sum, scale, bias);
                if let (Some(element), Some(value)) = (pass.residual, &conv.residual) {
                    let layout = &value.layout;
                    let from = at.residual.add(p * layout.cell() + v * layout.block());
                    y = s.add(y, load(s, element, from));
                }
                let to = at.out.add(p * output.cell() + v * output.block());
                store(s, output.element, to, conv.activation.apply(s, y));
            }
        }
    }
}

/// Four input channels of `P` outputs that lie `step` words apart.
///
/// # Safety
/// The places named are readable.
#[inline(always)]
unsafe fn four<S: Simd, D: Dot<S>, const P: usize, const V: usize>(
    d: D,
    acc: &mut [[D::Sums; V]; P],
    source: *const f32,
    step: usize,
    weight: *const f32,
    stride: usize,
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut w = [d.weights(weight.cast()); V];
        for v in 1..V {
            w[v] = d.weights(weight.add(v * stride).cast());
        }
        for p in 0..P {
            let x = source.add(p * step).cast::<u32>().read();
            for v in 0..V {
                acc[p][v] = d.dot(acc[p][v], x, w[v]);
            }
        }
    }
}

/// Computes `outputs` neighbouring outputs of `vectors` blocks of channels.
///
/// # Safety
/// All that the step reads and writes for these outputs lies within its values and weights.
#[inline(always)]
unsafe fn run_of_tiles<S: Simd, D: Dot<S>>(
    s: S,
    d: D,
    pass: &Pass,
    vectors: usize,
    outputs: usize,
    mut at: At,
) {
    let most = match vectors {
        4 => D::POSITIONS[2],
        2 => D::POSITIONS[1],
        _ => D::POSITIONS[0],
    };
    let conv = pass.conv;
    let mut sums: Sums = [0.0; SUMS * LANES];
    let mut tiles = outputs.div_ceil(most.max(1));
    let mut left = outputs;
    while tiles > 0 {
        let size = left.div_ceil(tiles);
        macro_rules! sizes {
            ($v:literal, $step:literal: $($p:literal)*) => {
                match size {
                    // SAFETY: `size` outputs from `at` on belong to the run.
                    $($p => unsafe { tile::<S, D, $p, $v, $step>(s, d, pass, at, &mut sums) },)*
                    _ => unreachable!("a tile of {size} outputs"),
                }
            };
        }
        // The limits are constants, so the arms beyond them are not compiled. A step that the compiler
        // knows is part of the instruction.
        if D::POSITIONS[2] > 0 {
            match (vectors, conv.stride[1]) {
                (4, 1) => sizes!(4, 4: 1 2 3 4 5 6),
                (4, _) => sizes!(4, 0: 1 2 3 4 5 6),
                (2, 1) => sizes!(2, 4: 1 2 3 4 5 6 7 8 9 10 11 12),
                (2, _) => sizes!(2, 0: 1 2 3 4 5 6 7 8 9 10 11 12),
                (_, 1) => sizes!(1, 4: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
                _ => sizes!(1, 0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
            }
        } else {
            sizes!(1, 0: 1 2 3 4)
        }
        // SAFETY: stays within the run, or one past its end.
        unsafe {
            finish(s, pass, [size, vectors], at, &sums);
            at.source = at.source.add(size * CELL * conv.stride[1]);
            at.out = at.out.add(size * conv.output.layout.cell());
            if let Some(value) = &conv.residual {
                at.residual = at.residual.add(size * value.layout.cell());
            }
        }
        left -= size;
        tiles -= 1;
    }
}
