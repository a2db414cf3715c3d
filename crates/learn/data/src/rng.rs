//! The counter-based random generator behind every random choice of this crate.
//!
//! A choice is a pure function of `(purpose, seed, epoch, index)`. The four 64-bit numbers are,
//! side by side and little-endian, the 256-bit key of ChaCha with eight rounds (D. J. Bernstein,
//! "ChaCha, a variant of Salsa20", 2008); the stream of that key serves the choice. No hash mixes
//! the numbers, so two different choices can never share a stream, and no state passes from one
//! sample to the next, so neither the number of worker threads nor a resumed run can change one.
//!
//! The derived draws ([`Stream::below`], [`Stream::unit`]) are defined here rather than taken from
//! `rand`, which reserves the right to change how it maps bits to values.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. The discriminants are part of every seeded result: never renumber them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// Order of the samples in an epoch.
    Shuffle = 1,
    /// Which samples form a split, a limited set or the labelled fraction.
    Choose = 2,
    /// Augmentation of one sample.
    Augment = 3,
    /// Mixing coefficients of one sample (mixup, cutmix).
    Mix = 4,
    /// Drawing an image of the generated set.
    Draw = 5,
}

/// A stream of random numbers belonging to one choice.
#[derive(Debug, Clone)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `(purpose, seed, epoch, index)`.
    pub(crate) fn new(purpose: Purpose, seed: u64, epoch: u64, index: u64) -> Self {
        let mut key = [0; 32];
        for (slot, number) in key
            .chunks_exact_mut(8)
            .zip([purpose as u64, seed, epoch, index])
        {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `0..n`; 0 if `n` is 0. Multiply-shift, whose bias is below `n / 2^32`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in the closed range `low..=high` (`low` if the range is empty).
    pub(crate) fn between(&mut self, low: i32, high: i32) -> i32 {
        if high <= low {
            return low;
        }
        let span = (i64::from(high) - i64::from(low) + 1).min(i64::from(u32::MAX)) as u32;
        low.wrapping_add(self.below(span) as i32)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * STEP
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A random permutation of the slice (Fisher and Yates, downwards).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }

    /// The generator itself, for distributions.
    pub(crate) fn inner(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First words of ChaCha8 under an all-zero key and nonce: "Test vectors for the stream
    /// cipher ChaCha", draft-strombergson-chacha-test-vectors-01, TC1, 8 rounds, 256-bit key,
    /// keystream `3e 00 ef 2f 89 5f 40 d6 ...`.
    #[test]
    fn is_chacha8() {
        let mut rng = ChaCha8Rng::from_seed([0; 32]);
        assert_eq!(rng.next_u32().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f]);
        assert_eq!(rng.next_u32().to_le_bytes(), [0x89, 0x5f, 0x40, 0xd6]);
    }

    #[test]
    fn each_number_of_the_key_matters() {
        let draw = |p, s, e, i| Stream::new(p, s, e, i).unit();
        let base = draw(Purpose::Augment, 1, 2, 3);
        assert_eq!(base, draw(Purpose::Augment, 1, 2, 3));
        for other in [
            draw(Purpose::Mix, 1, 2, 3),
            draw(Purpose::Augment, 0, 2, 3),
            draw(Purpose::Augment, 1, 0, 3),
            draw(Purpose::Augment, 1, 2, 0),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_are_uniform() {
        let mut stream = Stream::new(Purpose::Augment, 7, 0, 0);
        let mut counts = [0u32; 9];
        for _ in 0..90_000 {
            counts[(stream.between(-4, 4) + 4) as usize] += 1;
        }
        // Standard deviation of each count is sqrt(90000 / 9 * 8 / 9) = 94.
        assert!(
            counts.iter().all(|c| c.abs_diff(10_000) < 500),
            "{counts:?}"
        );
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.between(3, 3), 3);
    }
}
