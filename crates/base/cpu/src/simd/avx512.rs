//! Sixteen lanes as one AVX-512 register.

use super::dot::{Dot, DotKernel};
use super::{Kernel, LANES, Simd};
use std::arch::x86_64::*;

/// AVX-512F and FMA are present.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Runs `kernel` compiled for AVX-512.
///
/// # Safety
/// The processor has AVX-512F, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}

// SAFETY of every block below: an `Avx512` is only made in `run`, whose caller
// vouches for the instruction set; pointers are as the trait's contract says.
impl Simd for Avx512 {
    type V = __m512;
    const POSITIONS: [usize; 3] = [16, 12, 6];
    const ROWS: [usize; 3] = [16, 8, 4];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn where_positive(self, gate: Self::V, x: Self::V) -> Self::V {
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(positive, x)
        }
    }
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    #[expect(
        clippy::pointers_in_nomem_asm_block,
        reason = "nothing is read or written"
    )]
    fn opaque(self, mut p: *const f32) -> *const f32 {
        // SAFETY: no instruction at all.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags));
        }
        p
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::V {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: Self::V) {
        unsafe {
            // The conversion to integers rounds ties to even; the one to bytes saturates above.
            let positive = _mm512_max_ps(v, _mm512_setzero_ps());
            let bounded = _mm512_min_ps(positive, _mm512_set1_ps(255.0));
            let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(bounded));
            _mm_storeu_si128(p.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize) {
        unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
    }
    #[inline(always)]
    fn transpose(self, r: [Self::V; LANES]) -> [Self::V; LANES] {
        unsafe {
            // Pairs of rows, pairs of pairs, then whole quarters of registers.
            let zero = _mm512_setzero_ps();
            let (mut a, mut b) = ([zero; LANES], [zero; LANES]);
            for i in 0..8 {
                a[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                a[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..4 {
                let cast = |v: __m512| _mm512_castps_pd(v);
                let back = |v: __m512d| _mm512_castpd_ps(v);
                let [p, q, s, t] = [a[4 * i], a[4 * i + 1], a[4 * i + 2], a[4 * i + 3]];
                b[4 * i] = back(_mm512_unpacklo_pd(cast(p), cast(s)));
                b[4 * i + 1] = back(_mm512_unpackhi_pd(cast(p), cast(s)));
                b[4 * i + 2] = back(_mm512_unpacklo_pd(cast(q), cast(t)));
                b[4 * i + 3] = back(_mm512_unpackhi_pd(cast(q), cast(t)));
            }
            let mut out = [zero; LANES];
            for j in 0..4 {
                // Column j of each quarter, for four groups of four rows.
                let [p, q, s, t] = [b[j], b[4 + j], b[8 + j], b[12 + j]];
                let even = _mm512_shuffle_f32x4::<0x88>(p, q);
                let odd = _mm512_shuffle_f32x4::<0xdd>(p, q);
                let even_below = _mm512_shuffle_f32x4::<0x88>(s, t);
                let odd_below = _mm512_shuffle_f32x4::<0xdd>(s, t);
                out[j] = _mm512_shuffle_f32x4::<0x88>(even, even_below);
                out[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd, odd_below);
                out[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even, even_below);
                out[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_below);
            }
            out
        }
    }
}

/// AVX512-VNNI is present.
#[derive(Clone, Copy)]
pub(super) struct Vnni(());

/// Runs `kernel` compiled for AVX-512 with VNNI.
///
/// # Safety
/// The processor has AVX-512F, AVX512-VNNI, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
pub(super) unsafe fn run_dot<K: DotKernel>(kernel: K) {
    kernel.run(Avx512(()), Vnni(()));
}

// SAFETY of every block below: a `Vnni` is only made in `run_dot`, whose caller vouches for the
// instruction set; pointers are as the trait's contract says.
impl Dot<Avx512> for Vnni {
    type Sums = __m512i;
    type Weights = __m512i;
    const POSITIONS: [usize; 3] = [16, 12, 6];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::Weights {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    fn dot(self, acc: Self::Sums, x: u32, w: Self::Weights) -> Self::Sums {
        unsafe { _mm512_dpbusd_epi32(acc, _mm512_set1_epi32(x as i32), w) }
    }
    #[inline(always)]
    fn numbers(self, _: Avx512, acc: Self::Sums) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(acc) }
    }
}
