//! Sixteen lanes as four vectors of WebAssembly's fixed-width SIMD, in every browser since 2023.

use super::Simd;
use std::arch::wasm32::*;

/// The crate is compiled for `simd128`.
#[derive(Clone, Copy)]
pub(super) struct Wasm;

type V = [v128; 4];

/// `f` of each quarter.
#[inline(always)]
fn quarters(f: impl Fn(usize) -> v128) -> V {
    [f(0), f(1), f(2), f(3)]
}

// SAFETY of every block below: pointers are as the trait's contract says, and WebAssembly's loads and
// stores ask for no alignment.
impl Simd for Wasm {
    type V = V;
    // WebAssembly has no registers of its own; engines have sixteen on x86-64, as the portable code.
    const POSITIONS: [usize; 3] = [3, 0, 0];
    const ROWS: [usize; 3] = [2, 0, 0];

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [f32x4_splat(x); 4]
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        quarters(|i| f32x4_add(a[i], b[i]))
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        quarters(|i| f32x4_sub(a[i], b[i]))
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        quarters(|i| f32x4_mul(a[i], b[i]))
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        // pmax(x, y) is `y` where x < y, else `x`.
        quarters(|i| f32x4_pmax(b[i], a[i]))
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        // pmin(x, y) is `y` where y < x, else `x`.
        quarters(|i| f32x4_pmin(b[i], a[i]))
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        quarters(|i| f32x4_add(f32x4_mul(a[i], b[i]), c[i]))
    }
    #[inline(always)]
    fn where_positive(self, gate: V, x: V) -> V {
        quarters(|i| v128_and(f32x4_gt(gate[i], f32x4_splat(0.0)), x[i]))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        quarters(|i| unsafe { v128_load(p.add(4 * i).cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: V) {
        for i in 0..4 {
            unsafe { v128_store(p.add(4 * i).cast(), v[i]) }
        }
    }
}
