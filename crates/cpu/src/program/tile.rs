//! The register tile of convolutions in `f32`.

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

/// `out[p] = activation(bias + residual[p] + sum_(block, tap, c) source[p][block, tap, c] * weight[..])`
/// for `P` neighbouring outputs and `V` blocks of output channels.
///
/// # Safety
/// For `p < P` and `v < V`:
/// - the cell at `source + p * step + tap + b * block` is readable for every tap and input block;
/// - `weight + v * weights` holds `channels * taps` vectors, `bias` holds `V` vectors;
/// - `out + p * out[0] + v * out[1]` is a cell that nothing else accesses, the residual's is readable.
#[inline(always)]
unsafe fn tile<S: Simd, const P: usize, const V: usize, const STEP: usize>(
    s: S,
    sweep: Sweep,
    tail: &Tail,
    at: At,
) {
    // A step that the compiler knows is part of the instruction.
    let step = if STEP > 0 { STEP } else { sweep.step };
    // SAFETY: every address below is one the caller vouches for.
    unsafe {
        let mut acc = [[s.splat(0.0); V]; P];
        for p in 0..P {
            for v in 0..V {
                acc[p][v] = if tail.first {
                    s.load(at.bias.add(v * LANES))
                } else {
                    s.load(at.out.add(p * tail.out[0] + v * tail.out[1]))
                };
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
                            channel::<S, P, V>(
                                s,
                                &mut acc,
                                cell,
                                sweep.step,
                                weight,
                                sweep.weights,
                            );
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
                let out = at.out.add(p * tail.out[0] + v * tail.out[1]);
                let mut y = acc[p][v];
                if !tail.last {
                    s.store(out, y);
                    continue;
                }
                if !at.residual.is_null() {
                    let from = at.residual.add(p * tail.residual[0] + v * tail.residual[1]);
                    y = s.add(y, load(s, tail.residual_element, from));
                }
                store(s, tail.element, out, tail.activation.apply(s, y));
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

/// Runs [`tile`] for `outputs` neighbouring outputs, cut into tiles of nearly equal size.
///
/// # Safety
/// As for [`tile`], with `outputs` for `P` and `vectors` for `V`; `STEP` is the sweep's step, or 0.
#[inline(always)]
pub(super) unsafe fn run_of_tiles<S: Simd, const STEP: usize>(
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
    let mut tiles = outputs.div_ceil(most.max(1));
    let mut left = outputs;
    while tiles > 0 {
        let size = left.div_ceil(tiles);
        // SAFETY: `size` outputs from `at` on belong to the run.
        unsafe {
            sized::<S, STEP>(s, sweep, tail, [size, vectors], at);
        }
        // SAFETY: stays within the run, or one past its end.
        unsafe {
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
unsafe fn sized<S: Simd, const STEP: usize>(
    s: S,
    sweep: Sweep,
    tail: &Tail,
    [size, vectors]: [usize; 2],
    at: At,
) {
    macro_rules! sizes {
        ($v:literal: $($p:literal)*) => {
            match size {
                // SAFETY: as the caller vouches.
                $($p => unsafe { tile::<S, $p, $v, STEP>(s, sweep, tail, at) },)*
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
