//! What is applied to a finished sum.

use serde::{Deserialize, Serialize};

use crate::simd::Simd;

/// A function of one number. NaN stays NaN, so that damaged weights are noticed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x`.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`.
    Clamp {
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// `min(max(x / 6 + 1/2, 0), 1)`.
    HardSigmoid,
    /// `x * min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `factor * x`.
    Scale {
        /// The factor.
        factor: f32,
    },
}

impl Activation {
    /// Applies it to sixteen numbers.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        match self {
            Self::None => x,
            Self::Relu => s.max(s.splat(0.0), x),
            Self::Clamp { low, high } => s.min(s.splat(high), s.max(s.splat(low), x)),
            Self::HardSigmoid => hard_sigmoid(s, x),
            Self::HardSwish => s.mul(x, hard_sigmoid(s, x)),
            Self::Sigmoid => {
                let mut lanes = s.lanes(x);
                for x in &mut lanes {
                    *x = 1.0 / (1.0 + (-*x).exp());
                }
                // SAFETY: the array holds sixteen values.
                unsafe { s.load(lanes.as_ptr()) }
            }
            Self::Scale { factor } => s.mul(x, s.splat(factor)),
        }
    }
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let line = s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5));
    s.min(s.splat(1.0), s.max(s.splat(0.0), line))
}
