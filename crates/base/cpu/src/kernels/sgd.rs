//! The update of stochastic gradient descent in one pass.

use crate::parallel::{Shared, for_each};
use crate::simd::{Kernel, Simd, dispatch};

/// Values of a task.
const SPAN: usize = 16 << 10;

/// Settings of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub rate: f32,
    /// Momentum `mu`.
    pub momentum: f32,
    /// Weight decay.
    pub decay: f32,
    /// Whether to use Nesterov's momentum.
    pub nesterov: bool,
}

/// `v = mu v + (g + decay w)`, `w -= rate (g + decay w + mu v)` if `nesterov`, else `w -= rate v`.
pub fn update(step: Step, gradient: &[f32], weight: &mut [f32], velocity: &mut [f32]) {
    let len = weight.len();
    assert!(
        gradient.len() == len && velocity.len() == len,
        "lengths of an update"
    );
    let (weight, velocity) = (Shared::new(weight), Shared::new(velocity));
    for_each(len.div_ceil(SPAN), |i| {
        let (start, count) = (i * SPAN, SPAN.min(len - i * SPAN));
        dispatch(Update {
            step,
            gradient: &gradient[start..start + count],
            // SAFETY: spans do not overlap.
            weight: unsafe { weight.slice(start, count) },
            // SAFETY: as above.
            velocity: unsafe { velocity.slice(start, count) },
        });
    });
}

struct Update<'a> {
    step: Step,
    gradient: &'a [f32],
    weight: &'a mut [f32],
    velocity: &'a mut [f32],
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Step {
            rate,
            momentum,
            decay,
            nesterov,
        } = self.step;
        let values = self.weight.iter_mut().zip(self.velocity);
        for ((w, v), &g) in values.zip(self.gradient) {
            let g = g + decay * *w;
            *v = momentum * *v + g;
            *w -= rate * if nesterov { g + momentum * *v } else { *v };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close};

    #[test]
    fn two_updates_by_the_definition() {
        let random = &mut Random::new(9);
        let len = SPAN + 21;
        for nesterov in [false, true] {
            let step = Step {
                rate: 0.1,
                momentum: 0.9,
                decay: 5e-4,
                nesterov,
            };
            let (mut w, g) = (random.values(len), random.values(len));
            let mut v = vec![0.0; len];
            let (mut w2, mut v2): (Vec<f64>, _) =
                (w.iter().map(|&w| w.into()).collect(), vec![0.0f64; len]);
            for _ in 0..2 {
                update(step, &g, &mut w, &mut v);
                for i in 0..len {
                    let d = f64::from(g[i]) + 5e-4 * w2[i];
                    v2[i] = 0.9 * v2[i] + d;
                    w2[i] -= 0.1 * if nesterov { d + 0.9 * v2[i] } else { v2[i] };
                }
            }
            assert_close(&w, &w2, 1e-6, "weights");
            assert_close(&v, &v2, 1e-6, "velocity");
        }
    }
}
