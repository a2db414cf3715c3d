//! Scaling the loss for gradients of float16.

use serde::{Deserialize, Serialize};

/// The factor `s` of the loss in training with float16, whose gradients would be 0 below 6e-8 without
/// it. It adapts during training:
///
/// ```text
/// gradients of s L, divided by s in float32
/// one of them not finite:   the step is skipped, s <- s / 2
/// 2000 steps without that:  s <- 2 s
/// ```
///
/// The rules and numbers of PyTorch's `torch.amp.GradScaler` (Micikevicius et al., *Mixed Precision
/// Training*, ICLR 2018).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    factor: f32,
    /// Steps since the factor changed.
    good_steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: 65536.0,
            good_steps: 0,
        }
    }
}

impl LossScale {
    const INTERVAL: u32 = 2000;

    /// `s`.
    pub fn factor(&self) -> f64 {
        self.factor.into()
    }

    /// The factor of the next step, after one whose gradients were finite or not.
    pub fn after(mut self, finite: bool) -> Self {
        if !finite {
            self.factor /= 2.0;
            self.good_steps = 0;
            return self;
        }
        self.good_steps += 1;
        if self.good_steps == Self::INTERVAL {
            self.good_steps = 0;
            if (2.0 * self.factor).is_finite() {
                self.factor *= 2.0;
            }
        }
        self
    }

    /// One of the given factor.
    #[cfg(test)]
    pub(crate) fn of(factor: f32) -> Self {
        Self {
            factor,
            good_steps: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_of_pytorch() {
        // tests/loss_scale.py, torch 2.15: step, factor after it.
        let golden = [
            (0, 32768.0),
            (1, 16384.0),
            (5, 8192.0),
            (2004, 4096.0),
            (2005, 2048.0),
            (4005, 4096.0),
            (4010, 2048.0),
            (6010, 4096.0),
            (8010, 8192.0),
        ];
        let overflows = [0, 1, 5, 2004, 2005, 4010];
        let mut scale = LossScale::default();
        assert_eq!(scale.factor(), 65536.0);
        let mut changes = Vec::new();
        for step in 0..8100 {
            let next = scale.after(!overflows.contains(&step));
            if next.factor != scale.factor {
                changes.push((step, next.factor));
            }
            scale = next;
        }
        assert_eq!(changes, golden);
        assert_eq!((scale.factor, scale.good_steps), (8192.0, 89));
    }

    #[test]
    fn the_factor_stays_finite() {
        let mut scale = LossScale::of(f32::MAX);
        for _ in 0..2 * LossScale::INTERVAL {
            scale = scale.after(true);
        }
        assert_eq!(scale.factor, f32::MAX);
    }
}
