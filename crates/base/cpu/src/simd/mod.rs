//! Sixteen-lane vectors of `f32` over the instruction sets of this crate.
//!
//! One kernel source serves every instruction set: it is written against `Simd`
//! and run through `dispatch`, which compiles it once per instruction set and
//! picks the copy at run time. The vector is sixteen lanes wide on all of them
//! (one AVX-512 register, two AVX2 registers, four NEON or WebAssembly ones, an array elsewhere), so
//! memory layouts do not depend on the machine.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod dot;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod neon;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use std::sync::OnceLock;

/// Lanes of a vector, and the channel block of every packed layout.
pub const LANES: usize = 16;

/// Environment variable that forces an instruction set: `portable`, `avx2` or `avx512`.
const ISA_VARIABLE: &str = "OFFRAMP_KERNELS";

/// A proof that the instruction set it names is present, and its operations.
///
/// A value can only be made by [`dispatch`] after detection, which is why the
/// arithmetic is safe to call.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen lanes.
    type V: Copy;

    /// Largest number of output positions a convolution tile holds in registers
    /// when it is 1, 2 or 4 vectors wide; 0 where that width does not fit.
    const POSITIONS: [usize; 3];

    /// Rows of a weight-gradient tile that is 1, 2 or 4 vectors wide; divides 16.
    const ROWS: [usize; 3];

    /// All lanes equal to `x`.
    fn splat(self, x: f32) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where `a > b`, else `b`; so `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where `a < b`, else `b`; so `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the machine can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `x` where `gate > 0`, else 0.
    fn where_positive(self, gate: Self::V, x: Self::V) -> Self::V;

    /// Reads sixteen values.
    ///
    /// # Safety
    /// `p..p + 16` is readable.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes sixteen values.
    ///
    /// # Safety
    /// `p..p + 16` is writable.
    unsafe fn store(self, p: *mut f32, v: Self::V);

    /// Reads `n <= 16` values, the other lanes are 0.
    ///
    /// # Safety
    /// `p..p + n` is readable.
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        let mut lanes = [0.0f32; LANES];
        // SAFETY: the caller grants n readable values and n fits the array.
        unsafe {
            core::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n.min(LANES));
            self.load(lanes.as_ptr())
        }
    }

    /// Writes the first `n <= 16` lanes.
    ///
    /// # Safety
    /// `p..p + n` is writable.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize) {
        let lanes = self.lanes(v);
        // SAFETY: the caller grants n writable values and n fits the array.
        unsafe { core::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n.min(LANES)) }
    }

    /// Reads sixteen bytes as the numbers 0 to 255.
    ///
    /// # Safety
    /// `p..p + 16` is readable.
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::V {
        let mut lanes = [0.0f32; LANES];
        for (i, lane) in lanes.iter_mut().enumerate() {
            // SAFETY: as the caller vouches.
            *lane = f32::from(unsafe { *p.add(i) });
        }
        // SAFETY: the array holds sixteen values.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Writes each lane as the nearest byte, ties to even; NaN as 0.
    ///
    /// # Safety
    /// `p..p + 16` is writable.
    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: Self::V) {
        let lanes = self.lanes(v);
        for (i, lane) in lanes.iter().enumerate() {
            // SAFETY: as the caller vouches.
            unsafe { *p.add(i) = lane.round_ties_even() as u8 };
        }
    }

    /// Asks for the cache line of an address that will be read soon; it may be any address.
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    /// The same address, of which the compiler does not know how it came about: loads near it then
    /// name one register. With two, a multiplication that reads a broadcast number from memory takes
    /// three times as long on Zen 5.
    #[inline(always)]
    fn opaque(self, p: *const f32) -> *const f32 {
        p
    }

    /// Lane `j` of vector `i` becomes lane `i` of vector `j`.
    #[inline(always)]
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
        let rows = rows.map(|row| self.lanes(row));
        std::array::from_fn(|j| {
            let column: [f32; LANES] = std::array::from_fn(|i| rows[i][j]);
            // SAFETY: the array holds sixteen values.
            unsafe { self.load(column.as_ptr()) }
        })
    }

    /// The lanes as an array.
    #[inline(always)]
    fn lanes(self, v: Self::V) -> [f32; LANES] {
        let mut lanes = [0.0f32; LANES];
        // SAFETY: the array holds sixteen values.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        lanes
    }
}

/// Work that is compiled for every instruction set.
///
/// Implementations mark `run` and all it calls `#[inline(always)]`, so that the
/// whole body is compiled with the instruction set of the caller.
pub(crate) trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work with the instruction set `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The instruction sets a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Arrays and plain loops; the compiler vectorises them for the base machine.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
    /// NEON, of every 64-bit ARM processor.
    Neon,
    /// WebAssembly's fixed-width SIMD.
    Simd128,
}

impl Isa {
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        if cfg!(all(target_arch = "aarch64", target_feature = "neon")) {
            return Self::Neon;
        }
        if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) {
            return Self::Simd128;
        }
        Self::Portable
    }

    /// The instruction set that the environment asks for, as far as the machine has it.
    fn choose(best: Self, wish: Option<&str>) -> Self {
        match (wish, best) {
            (Some("portable"), _) => Self::Portable,
            (Some("avx2"), Self::Avx512 | Self::Avx2) => Self::Avx2,
            _ => best,
        }
    }
}

/// The instruction set of this process: the best of the machine, or a lesser one
/// named by the environment variable `OFFRAMP_KERNELS`.
pub fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| Isa::choose(Isa::detect(), std::env::var(ISA_VARIABLE).ok().as_deref()))
}

/// Runs `kernel` with the instruction set of this process.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    match isa() {
        // SAFETY: `isa` returns these values only after detecting the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::run(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2::run(kernel) },
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        Isa::Neon => kernel.run(neon::Neon),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Isa::Simd128 => kernel.run(wasm::Wasm),
        _ => kernel.run(portable::Portable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_never_exceeds_the_machine() {
        assert_eq!(Isa::choose(Isa::Portable, Some("avx512")), Isa::Portable);
        assert_eq!(Isa::choose(Isa::Avx2, Some("avx512")), Isa::Avx2);
        assert_eq!(Isa::choose(Isa::Avx512, Some("avx2")), Isa::Avx2);
        assert_eq!(Isa::choose(Isa::Avx512, Some("portable")), Isa::Portable);
        assert_eq!(Isa::choose(Isa::Neon, Some("avx2")), Isa::Neon);
        assert_eq!(Isa::choose(Isa::Neon, Some("portable")), Isa::Portable);
        assert_eq!(Isa::choose(Isa::Avx512, None), Isa::Avx512);
    }

    struct Check;

    impl Kernel for Check {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let a: [f32; LANES] = core::array::from_fn(|i| i as f32 - 7.5);
            // SAFETY: the array holds sixteen values.
            let v = unsafe { s.load(a.as_ptr()) };
            let two = s.splat(2.0);
            assert_eq!(s.lanes(s.fma(v, two, v)), a.map(|x| 3.0 * x));
            assert_eq!(s.lanes(s.sub(s.mul(v, two), v)), a);
            assert_eq!(s.lanes(s.max(v, s.splat(0.0))), a.map(|x| x.max(0.0)));
            assert_eq!(s.lanes(s.min(v, s.splat(0.0))), a.map(|x| x.min(0.0)));
            let steps: [f32; LANES] = core::array::from_fn(|i| 40.0 * i as f32 - 100.5);
            let mut bytes = [7u8; LANES];
            // SAFETY: the arrays hold sixteen values.
            let back = unsafe {
                s.store_bytes(bytes.as_mut_ptr(), s.load(steps.as_ptr()));
                s.load_bytes(bytes.as_ptr())
            };
            assert_eq!(bytes, steps.map(|x| x.round_ties_even() as u8));
            assert_eq!(s.lanes(back), bytes.map(f32::from));
            let nan = s.lanes(s.max(s.splat(0.0), s.splat(f32::NAN)));
            assert!(nan.iter().all(|x| x.is_nan()), "{nan:?}");
            let gated = a.map(|x| if x > 0.0 { 2.0 } else { 0.0 });
            assert_eq!(s.lanes(s.where_positive(v, two)), gated);
            let rows: [S::V; LANES] = core::array::from_fn(|i| s.add(v, s.splat(100.0 * i as f32)));
            for (j, column) in s.transpose(rows).into_iter().enumerate() {
                let expected = core::array::from_fn(|i| a[j] + 100.0 * i as f32);
                assert_eq!(s.lanes(column), expected);
            }
            for n in 0..=LANES {
                let mut out = [9.0f32; LANES];
                // SAFETY: n <= 16 values of both arrays are touched.
                unsafe {
                    let part = s.load_first(a.as_ptr(), n);
                    assert_eq!(s.lanes(part)[n..], [0.0; LANES][n..]);
                    s.store_first(out.as_mut_ptr(), part, n);
                }
                assert_eq!(out[..n], a[..n]);
                assert!(out[n..].iter().all(|&x| x == 9.0));
            }
        }
    }

    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[test]
    fn webassembly_computes_with_its_own_vectors() {
        assert_eq!(isa(), Isa::Simd128);
    }

    #[test]
    fn vectors_agree_with_arrays() {
        dispatch(Check);
        Check.run(portable::Portable);
        #[cfg(target_arch = "x86_64")]
        if Isa::detect() != Isa::Portable {
            // SAFETY: AVX-512 implies AVX2 and FMA, and one of them was detected.
            unsafe { avx2::run(Check) };
        }
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        Check.run(neon::Neon);
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Check.run(wasm::Wasm);
    }
}
