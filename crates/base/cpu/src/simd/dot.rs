//! Products of bytes, four at a time into 32-bit sums.

#[cfg(target_arch = "x86_64")]
use super::{Isa, isa};
use super::{Kernel, LANES, Simd, dispatch};

/// `acc[o] += sum_k x[k] * w[4 o + k]` for sixteen outputs `o` and four unsigned bytes `x`, exactly.
pub(crate) trait Dot<S: Simd>: Copy {
    /// Sixteen 32-bit sums.
    type Sums: Copy;
    /// Sixty-four signed bytes.
    type Weights: Copy;

    /// As [`Simd::POSITIONS`], for these sums.
    const POSITIONS: [usize; 3];

    /// Sums of 0.
    fn zero(self) -> Self::Sums;

    /// Reads the weights of four inputs and sixteen outputs.
    ///
    /// # Safety
    /// `p..p + 64` is readable.
    unsafe fn weights(self, p: *const i8) -> Self::Weights;

    /// Adds the products; `x` is the first byte in its lowest bits.
    fn dot(self, acc: Self::Sums, x: u32, w: Self::Weights) -> Self::Sums;

    /// The sums as numbers, rounded to the nearest.
    fn numbers(self, s: S, acc: Self::Sums) -> S::V;
}

/// Work that is compiled for every way of multiplying bytes.
pub(crate) trait DotKernel {
    /// Does the work.
    fn run<S: Simd, D: Dot<S>>(self, s: S, d: D);
}

/// Plain loops.
#[derive(Clone, Copy)]
pub(crate) struct Loops;

impl<S: Simd> Dot<S> for Loops {
    type Sums = [i32; LANES];
    type Weights = [i8; 4 * LANES];
    const POSITIONS: [usize; 3] = [4, 0, 0];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::Weights {
        // SAFETY: as the caller vouches; bytes have no alignment.
        unsafe { p.cast::<Self::Weights>().read() }
    }

    #[inline(always)]
    fn dot(self, mut acc: Self::Sums, x: u32, w: Self::Weights) -> Self::Sums {
        let x = x.to_le_bytes();
        for o in 0..LANES {
            for k in 0..4 {
                acc[o] = acc[o].wrapping_add(i32::from(x[k]) * i32::from(w[4 * o + k]));
            }
        }
        acc
    }

    #[inline(always)]
    fn numbers(self, s: S, acc: Self::Sums) -> S::V {
        let mut lanes = [0.0f32; LANES];
        for o in 0..LANES {
            lanes[o] = acc[o] as f32;
        }
        // SAFETY: the array holds sixteen values.
        unsafe { s.load(lanes.as_ptr()) }
    }
}

struct WithLoops<K>(K);

impl<K: DotKernel> Kernel for WithLoops<K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.run(s, Loops);
    }
}

/// Runs `kernel` with the machine's instructions for such products, where it has them.
#[inline]
pub(crate) fn dispatch_dot<K: DotKernel>(kernel: K) {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: both were detected.
        unsafe { super::avx512::run_dot(kernel) };
        return;
    }
    dispatch(WithLoops(kernel));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    struct Check<'a>(&'a mut Vec<[i32; LANES]>);

    impl DotKernel for Check<'_> {
        #[inline(always)]
        fn run<S: Simd, D: Dot<S>>(self, s: S, d: D) {
            let mut random = Random::new(8);
            for round in 0..50 {
                let w: Vec<i8> = (0..64)
                    .map(|_| random.within(0, 254) as i8)
                    .map(|w| if round == 0 { -127 } else { w })
                    .collect();
                let mut acc = d.zero();
                for _ in 0..3 {
                    let x = (0..4).fold(0, |x, _| x << 8 | random.within(0, 255) as u32);
                    let x = if round == 0 { u32::MAX } else { x };
                    // SAFETY: the list holds 64 bytes.
                    acc = d.dot(acc, x, unsafe { d.weights(w.as_ptr()) });
                }
                self.0.push(s.lanes(d.numbers(s, acc)).map(|x| x as i32));
            }
        }
    }

    #[test]
    fn all_ways_give_the_same_integers() {
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        dispatch_dot(Check(&mut found));
        dispatch(WithLoops(Check(&mut expected)));
        assert_eq!(found, expected);
        assert_eq!(expected[0], [3 * 4 * 255 * -127; LANES]);
    }
}
