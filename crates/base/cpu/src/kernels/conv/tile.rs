//! The register tile of the forward pass and of the input gradient.

use crate::simd::{LANES, Simd};

/// What every tile of a pass has in common.
#[derive(Clone, Copy)]
pub(crate) struct TileArgs<'a> {
    /// Distance from the cell of an output to the cell of each tap, in values.
    pub taps: &'a [usize],
    /// Input channels of this pass.
    pub channels: usize,
    /// Values of a channel block of the source.
    pub block_stride: usize,
    /// Values between the outputs of a tile.
    pub out_stride: usize,
    /// Real output channels of the panel, the rest of its vectors is not stored.
    pub count: usize,
    /// Whether the outputs start from what is stored, not from the bias.
    pub accumulate: bool,
}

/// `out[p] (+)= bias + sum_(block, tap, c) source[p][block, tap, c] * weight[block, tap, c]`
/// for `P` neighbouring outputs and `V` vectors of output channels.
///
/// # Safety
/// - `source` points to the first output's cell; for every tap, channel block and
///   `p < P` the cell at `tap + block * block_stride + p * 16` is readable.
/// - `weight` points to `channels * taps.len() * V` vectors, `bias` to `V` vectors.
/// - `out + p * out_stride .. + count` is writable for `p < P`, and not accessed
///   elsewhere meanwhile; `count > (V - 1) * 16`.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const P: usize, const V: usize>(
    s: S,
    args: TileArgs,
    source: *const f32,
    weight: *const f32,
    bias: *const f32,
    out: *mut f32,
) {
    // SAFETY: every address below is one the caller vouches for.
    unsafe {
        let mut acc = [[s.splat(0.0); V]; P];
        let last = args.count - (V - 1) * LANES;
        for p in 0..P {
            for v in 0..V {
                let at = v * LANES;
                acc[p][v] = if !args.accumulate {
                    s.load(bias.add(at))
                } else if v + 1 < V || last == LANES {
                    s.load(out.add(p * args.out_stride + at))
                } else {
                    s.load_first(out.add(p * args.out_stride + at), last)
                };
            }
        }
        let mut weight = weight;
        let mut block = source;
        let mut channels = args.channels;
        while channels > 0 {
            let lanes = channels.min(LANES);
            for &tap in args.taps {
                let cell = s.opaque(block.add(tap));
                if lanes == LANES {
                    for c in 0..LANES / 4 {
                        for i in 0..4 {
                            step::<S, P, V>(s, &mut acc, cell.add(c * 4 + i), weight);
                            weight = weight.add(V * LANES);
                        }
                    }
                } else {
                    for c in 0..lanes {
                        step::<S, P, V>(s, &mut acc, cell.add(c), weight);
                        weight = weight.add(V * LANES);
                    }
                }
            }
            channels -= lanes;
            block = block.add(args.block_stride);
        }
        for p in 0..P {
            for v in 0..V {
                let at = out.add(p * args.out_stride + v * LANES);
                if v + 1 < V || last == LANES {
                    s.store(at, acc[p][v]);
                } else {
                    s.store_first(at, acc[p][v], last);
                }
            }
        }
    }
}

/// One input channel: `acc[p] += source[p * 16] * weight`.
///
/// # Safety
/// `source + p * 16` is readable for `p < P`, and `weight` for `V` vectors.
#[inline(always)]
unsafe fn step<S: Simd, const P: usize, const V: usize>(
    s: S,
    acc: &mut [[S::V; V]; P],
    source: *const f32,
    weight: *const f32,
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut w = [s.splat(0.0); V];
        for v in 0..V {
            w[v] = s.load(weight.add(v * LANES));
        }
        for p in 0..P {
            let x = s.splat(*source.add(p * LANES));
            for v in 0..V {
                acc[p][v] = s.fma(x, w[v], acc[p][v]);
            }
        }
    }
}

/// Runs [`tile`] for a run of `outputs` neighbouring outputs, cut into tiles of nearly equal size.
///
/// # Safety
/// As for [`tile`], with `outputs` for `P` and `vectors` for `V`.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "a struct of them would not stay in registers"
)]
pub(crate) unsafe fn run_of_tiles<S: Simd>(
    s: S,
    args: TileArgs,
    vectors: usize,
    outputs: usize,
    mut source: *const f32,
    weight: *const f32,
    bias: *const f32,
    mut out: *mut f32,
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
        macro_rules! sizes {
            ($v:literal: $($p:literal)*) => {
                match size {
                    // SAFETY: `size` outputs from `source` and `out` on belong to the run.
                    $($p => unsafe { tile::<S, $p, $v>(s, args, source, weight, bias, out) },)*
                    _ => unreachable!("tiles hold at most {most} outputs"),
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
        // SAFETY: stays within the run, or one past its end.
        unsafe {
            source = source.add(size * LANES);
            out = out.add(size * args.out_stride);
        }
        left -= size;
        tiles -= 1;
    }
}
