//! Sixteen lanes as four NEON registers, which every 64-bit ARM processor has.

use super::Simd;
use std::arch::aarch64::*;

/// The crate is compiled for NEON.
#[derive(Clone, Copy)]
pub(super) struct Neon;

type V = [float32x4_t; 4];

/// `f` of each quarter.
#[inline(always)]
fn quarters(f: impl Fn(usize) -> float32x4_t) -> V {
    [f(0), f(1), f(2), f(3)]
}

// SAFETY of every block below: this module is only compiled where NEON is part of the target;
// pointers are as the trait's contract says.
impl Simd for Neon {
    type V = V;
    // Thirty-two registers: 6 x 4 sums, four of weights, one broadcast.
    const POSITIONS: [usize; 3] = [6, 0, 0];
    const ROWS: [usize; 3] = [4, 0, 0];

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        quarters(|i| unsafe { vaddq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        quarters(|i| unsafe { vsubq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        quarters(|i| unsafe { vmulq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        // The machine's own maximum is NaN where either is, the trait's is `b` there.
        quarters(|i| unsafe { vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]) })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        quarters(|i| unsafe { vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i]) })
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        quarters(|i| unsafe { vfmaq_f32(c[i], a[i], b[i]) })
    }
    #[inline(always)]
    fn where_positive(self, gate: V, x: V) -> V {
        quarters(|i| unsafe {
            let positive = vcgtzq_f32(gate[i]);
            vreinterpretq_f32_u32(vandq_u32(positive, vreinterpretq_u32_f32(x[i])))
        })
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        quarters(|i| unsafe { vld1q_f32(p.add(4 * i)) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: V) {
        for i in 0..4 {
            unsafe { vst1q_f32(p.add(4 * i), v[i]) }
        }
    }
}
