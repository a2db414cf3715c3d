//! The register tile of convolutions in `f32`.

use std::mem::MaybeUninit;

use super::Activation;
use super::layout::{Element, load, store};
use crate::simd::{LANES, Simd};

/// What all tiles of a pass have in common.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    /// Words from the cell of an output to that of each tap.
    pub taps: &'a [usize],
    /// Input channels of this pass.
    pub channels: usize,
    /// Words of a block of input channels.
    pub block: usize,
    /// Words between the cells that neighbouring outputs read.
    pub step: usize,
    /// Words between the weights of neighbouring blocks of output channels.
    pub weights: usize,
}

/// Where a tile writes, and what happens to its sums.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    /// Words between neighbouring outputs, and between blocks of output channels.
    pub out: [usize; 2],
    /// What an output is stored as.
    pub element: Element,
    /// Words between neighbouring residuals, and between their blocks.
    pub residual: [usize; 2],
    /// What a residual is stored as.
    pub residual_element: Element,
    /// Applied to the finished sum.
    pub activation: Activation,
    /// Whether the sums begin with the bias, not with what the output holds.
    pub first: bool,
    /// Whether the sums are finished, so that residual and activation follow.
    pub last: bool,
}

/// The addresses of a tile. `residual` is null where there is none.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub source: *const f32,
    pub weight: *const f32,
    pub bias: *const f32,
    pub residual: *const f32,
    pub out: *mut f32,
}

/// Most vectors of sums in a tile.
const SUMS: usize = 24;

/// The sums of a tile, `[output][block of output channels]`; written before they are read.
struct Sums([MaybeUninit<f32>; SUMS * LANES]);

impl Sums {
    fn new() -> Self {
        Self([MaybeUninit::uninit(); SUMS * LANES])
    }

    fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// What the sums of a tile begin with: the bias, or what the outputs hold.
#[derive(Clone, Copy)]
struct Start {
    from: *const f32,
    /// Words between neighbouring outputs, and between blocks of output channels.
    steps: [usize; 2],
}

/// `sums[p][v] += sum_(block, tap, c) source[p][block, tap, c] * weight[v][block, tap, c]` for `P`
/// neighbouring outputs and `V` blocks of output channels. If `RAW`, the sums begin with 0 and go to
/// `out` as they are.
///
/// The end of other sums is the business of [`finish`], which exists once: unrolled in each of the many
/// sizes of tiles it would be most of the crate's code.
///
/// # Safety
/// For `p < P` and `v < V`:
/// - the cell at `source + p * step + tap + b * block` is readable for every tap and input block;
/// - `weight + v * weights` holds `channels * taps` vectors;
/// - unless `RAW`, `start.from + p * start.steps[0] + v * start.steps[1]` is a readable cell;
/// - if `RAW`, `out + p * out[0] + v * out[1]` is a cell that nothing else accesses.
#[inline(always)]
unsafe fn tile<S: Simd, const P: usize, const V: usize, const STEP: usize, const RAW: bool>(
    s: S,
    sweep: Sweep,
    tail: &Tail,
    at: At,
    start: Start,
    sums: &mut Sums,
) {
    // A step that the compiler knows is part of the instruction.
    let step = if STEP > 0 { STEP } else { sweep.step };
    // SAFETY: every address below is one the caller vouches for, or within the sums.
    unsafe {
        let sums = sums.as_mut_ptr();
        let mut acc = [[s.splat(0.0); V]; P];
        if !RAW {
            for p in 0..P {
                for v in 0..V {
                    acc[p][v] = s.load(start.from.add(p * start.steps[0] + v * start.steps[1]));
                }
            }
        }
        let mut weight = at.weight;
        let mut block = at.source;
        let mut channels = sweep.channels;
        while channels > 0 {
            let lanes = channels.min(LANES);
            for &tap in sweep.taps {
                let cell = s.opaque(block.add(tap));
                if lanes == LANES {
                    for c in 0..LANES / 4 {
                        for i in 0..4 {
                            let cell = cell.add(c * 4 + i);
                            channel::<S, P, V>(s, &mut acc, cell, step, weight, sweep.weights);
                            weight = weight.add(LANES);
                        }
                    }
                } else {
                    for c in 0..lanes {
                        let cell = cell.add(c);
                        channel::<S, P, V>(s, &mut acc, cell, step, weight, sweep.weights);
                        weight = weight.add(LANES);
                    }
                }
            }
            channels -= lanes;
            block = block.add(sweep.block);
        }
        for p in 0..P {
            for v in 0..V {
                let to = if RAW {
                    at.out.add(p * tail.out[0] + v * tail.out[1])
                } else {
                    sums.add((p * V + v) * LANES)
                };
                s.store(to, acc[p][v]);
            }
        }
    }
}

/// `out[p][v] = activation(sums[p][v] + residual[p][v])`, or the sums where they are not finished.
///
/// # Safety
/// The outputs are writable and nobody else's, the residuals readable, the sums written.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, tail: &Tail, size: [usize; 2], at: At, sums: &mut Sums) {
    // SAFETY: as the caller vouches; a tile has no more sums than there is room for.
    unsafe {
        if !tail.last {
            return each(tail, size, at, sums, |sum, out, _| {
                s.store(out, s.load(sum))
            });
        }
        // What is the same for all cells is asked once where that is the usual thing.
        let floats = [tail.element, tail.residual_element] == [Element::F32; 2];
        let zero = s.splat(0.0);
        match (tail.activation, at.residual.is_null()) {
            (Activation::None, true) if floats => {
                each(tail, size, at, sums, |sum, out, _| {
                    s.store(out, s.load(sum))
                });
            }
            (Activation::Relu, true) if floats => {
                each(tail, size, at, sums, |sum, out, _| {
                    s.store(out, s.max(zero, s.load(sum)));
                });
            }
            (Activation::Relu, false) if floats => {
                each(tail, size, at, sums, |sum, out, residual| {
                    let y = s.add(s.load(sum), s.load(residual));
                    s.store(out, s.max(zero, y));
                });
            }
            _ => each(tail, size, at, sums, |sum, out, residual| {
                let mut y = s.load(sum);
                if !residual.is_null() {
                    y = s.add(y, load(s, tail.residual_element, residual));
                }
                store(s, tail.element, out, tail.activation.apply(s, y));
            }),
        }
    }
}

/// Calls `cell(sum, output, residual)` for every sum of a tile; the residual is null where there is none.
///
/// # Safety
/// As for [`finish`].
#[inline(always)]
unsafe fn each(
    tail: &Tail,
    [size, vectors]: [usize; 2],
    at: At,
    sums: &mut Sums,
    mut cell: impl FnMut(*const f32, *mut f32, *const f32),
) {
    let sums = sums.as_mut_ptr().cast_const();
    for v in 0..vectors {
        for p in 0..size {
            // SAFETY: the caller vouches for the places; null stays null.
            unsafe {
                let residual = if at.residual.is_null() {
                    at.residual
                } else {
                    at.residual.add(p * tail.residual[0] + v * tail.residual[1])
                };
                let out = at.out.add(p * tail.out[0] + v * tail.out[1]);
                cell(sums.add((p * vectors + v) * LANES), out, residual);
            }
        }
    }
}

/// One input channel: `acc[p][v] += source[p * step] * weight[v * stride]`.
///
/// # Safety
/// The places named are readable.
#[inline(always)]
unsafe fn channel<S: Simd, const P: usize, const V: usize>(
    s: S,
    acc: &mut [[S::V; V]; P],
    source: *const f32,
    step: usize,
    weight: *const f32,
    stride: usize,
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut w = [s.splat(0.0); V];
        for v in 0..V {
            w[v] = s.load(weight.add(v * stride));
        }
        for p in 0..P {
            let x = s.splat(*source.add(p * step));
            for v in 0..V {
                acc[p][v] = s.fma(x, w[v], acc[p][v]);
            }
        }
    }
}

/// Blocks of output channels that a tile takes at once where `left` are to do: 4, 2 or 1.
#[inline(always)]
pub(super) fn width<S: Simd>(left: usize) -> usize {
    match left {
        4.. if S::POSITIONS[2] > 0 => 4,
        2.. if S::POSITIONS[1] > 0 => 2,
        _ => 1,
    }
}

/// Computes `outputs` neighbouring outputs in tiles of nearly equal size.
///
/// # Safety
/// As for [`tile`] and [`finish`], with `outputs` for `P` and `vectors` for `V`; `STEP` is the sweep's
/// step, or 0; unless `RAW`, `bias` holds `vectors` vectors or the outputs hold the sums so far.
#[inline(always)]
pub(super) unsafe fn run_of_tiles<S: Simd, const STEP: usize, const RAW: bool>(
    s: S,
    sweep: Sweep,
    tail: &Tail,
    vectors: usize,
    outputs: usize,
    mut at: At,
) {
    let most = match vectors {
        4 => S::POSITIONS[2],
        2 => S::POSITIONS[1],
        _ => S::POSITIONS[0],
    };
    let mut sums = Sums::new();
    let mut tiles = outputs.div_ceil(most.max(1));
    let mut left = outputs;
    while tiles > 0 {
        let size = left.div_ceil(tiles);
        // SAFETY: `size` outputs from `at` on belong to the run; the pointers stay within it, or one
        // past its end.
        unsafe {
            let start = if tail.first {
                Start {
                    from: at.bias,
                    steps: [0, LANES],
                }
            } else {
                Start {
                    from: at.out.cast_const(),
                    steps: tail.out,
                }
            };
            sized::<S, STEP, RAW>(s, sweep, tail, [size, vectors], at, start, &mut sums);
            if !RAW {
                finish(s, tail, [size, vectors], at, &mut sums);
            }
            at.source = at.source.add(size * sweep.step);
            at.out = at.out.add(size * tail.out[0]);
            if !at.residual.is_null() {
                at.residual = at.residual.add(size * tail.residual[0]);
            }
        }
        left -= size;
        tiles -= 1;
    }
}

/// Runs the tile of a size that is known at run time.
///
/// # Safety
/// As for [`tile`]; `size` is at most what the instruction set holds at this width.
#[inline(always)]
unsafe fn sized<S: Simd, const STEP: usize, const RAW: bool>(
    s: S,
    sweep: Sweep,
    tail: &Tail,
    [size, vectors]: [usize; 2],
    at: At,
    start: Start,
    sums: &mut Sums,
) {
    macro_rules! sizes {
        ($v:literal: $($p:literal)*) => {
            match size {
                // SAFETY: as the caller vouches.
                $($p => unsafe { tile::<S, $p, $v, STEP, RAW>(s, sweep, tail, at, start, sums) },)*
                _ => unreachable!("a tile of {size} outputs"),
            }
        };
    }
    // The instruction set's limits are constants, so the arms beyond them are not compiled.
    if vectors == 4 && S::POSITIONS[2] > 0 {
        sizes!(4: 1 2 3 4 5 6)
    } else if vectors == 2 && S::POSITIONS[1] > 0 {
        sizes!(2: 1 2 3 4 5 6 7 8 9 10 11 12)
    } else if S::POSITIONS[0] > 6 {
        sizes!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    } else if S::POSITIONS[0] > 3 {
        sizes!(1: 1 2 3 4 5 6)
    } else {
        sizes!(1: 1 2 3)
    }
}
