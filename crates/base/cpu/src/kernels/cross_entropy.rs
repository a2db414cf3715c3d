//! Softmax cross-entropy of rows.

use crate::parallel::{Shared, for_each};

/// Rows of a task.
const ROWS: usize = 64;

/// A target that does not count.
pub const IGNORED: i64 = -1;

/// `loss[i] = -log softmax(logits[i])[targets[i]]`, 0 where the target is ignored; the softmax
/// goes to `softmax`, `[rows, classes]` like `logits`.
///
/// # Panics
/// If a target is neither ignored nor a class.
pub fn forward(logits: &[f32], targets: &[i64], softmax: &mut [f32], loss: &mut [f32]) {
    let rows = targets.len();
    assert!(rows == loss.len() && logits.len() == softmax.len());
    let classes = logits.len() / rows.max(1);
    assert_eq!(rows * classes, logits.len(), "whole rows of logits");
    let (softmax, loss) = (Shared::new(softmax), Shared::new(loss));
    for_each(rows.div_ceil(ROWS), |task| {
        let (first, count) = (task * ROWS, ROWS.min(rows - task * ROWS));
        // SAFETY: tasks write the values of their own rows.
        let (softmax, loss) = unsafe {
            (
                softmax.slice(first * classes, count * classes),
                loss.slice(first, count),
            )
        };
        for i in 0..count {
            let row = &logits[(first + i) * classes..(first + i + 1) * classes];
            let out = &mut softmax[i * classes..(i + 1) * classes];
            let log_sum = softmax_row(row, out);
            loss[i] = match targets[first + i] {
                IGNORED => 0.0,
                target => {
                    let known = usize::try_from(target).ok().filter(|&t| t < classes);
                    let class = known.unwrap_or_else(|| {
                        panic!("target {target} is not one of {classes} classes")
                    });
                    (log_sum - f64::from(row[class])) as f32
                }
            };
        }
    });
}

/// Writes the softmax of `row` and returns the logarithm of the sum of its exponentials.
fn softmax_row(row: &[f32], out: &mut [f32]) -> f64 {
    let most = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
    let mut sum = 0.0f64;
    for (o, &v) in out.iter_mut().zip(row) {
        *o = (v - most).exp();
        sum += f64::from(*o);
    }
    let scale = (1.0 / sum) as f32;
    for o in out {
        *o *= scale;
    }
    sum.ln() + f64::from(most)
}

/// `dlogits[i] = dloss[i] * (softmax[i] - onehot(targets[i]))`, 0 where the target is ignored.
pub fn backward(softmax: &[f32], targets: &[i64], dloss: &[f32], dlogits: &mut [f32]) {
    let rows = targets.len();
    assert!(rows == dloss.len() && softmax.len() == dlogits.len());
    let classes = softmax.len() / rows.max(1);
    for i in 0..rows {
        let at = i * classes..(i + 1) * classes;
        let (row, out) = (&softmax[at.clone()], &mut dlogits[at]);
        if targets[i] == IGNORED {
            out.fill(0.0);
            continue;
        }
        for (o, &p) in out.iter_mut().zip(row) {
            *o = dloss[i] * p;
        }
        // `forward` has checked that the target is a class.
        out[targets[i] as usize] = dloss[i] * (row[targets[i] as usize] - 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close};

    /// `-log softmax([1, 0, -1])[0] = 0.407606`: log(e + 1 + 1/e) - 1.
    #[test]
    fn golden_value_and_gradient() {
        let logits = [1.0, 0.0, -1.0, 5.0, 5.0, 5.0];
        let (mut softmax, mut loss) = ([0.0; 6], [9.0; 2]);
        forward(&logits, &[0, IGNORED], &mut softmax, &mut loss);
        assert_close(&loss[..1], &[0.407_605_96], 1e-7, "loss");
        assert_eq!(loss[1], 0.0);
        let mut gradient = [9.0; 6];
        backward(&softmax, &[0, IGNORED], &[2.0, 2.0], &mut gradient);
        let expected = [-0.669_518_0, 0.489_456_9, 0.180_061_1];
        assert_close(&gradient[..3], &expected, 1e-6, "gradient");
        assert_eq!(gradient[3..], [0.0; 3]);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let random = &mut Random::new(8);
        let logits: Vec<f32> = random.values(700).iter().map(|v| v * 1e3).collect();
        let targets: Vec<i64> = (0..100).map(|i| i % 7).collect();
        let (mut softmax, mut loss) = (vec![0.0; 700], vec![0.0; 100]);
        forward(&logits, &targets, &mut softmax, &mut loss);
        let expected: Vec<f64> = (0..100)
            .map(|i| {
                let row = || logits[i * 7..i * 7 + 7].iter().map(|&v| f64::from(v));
                let most = row().fold(f64::MIN, f64::max);
                row().map(|v| (v - most).exp()).sum::<f64>().ln() + most
                    - f64::from(logits[i * 7 + i % 7])
            })
            .collect();
        assert_close(&loss, &expected, 1e-6, "loss");
    }

    #[test]
    #[should_panic(expected = "target 3 is not one of 3 classes")]
    fn a_target_beyond_the_classes_is_refused() {
        forward(&[0.0; 3], &[3], &mut [0.0; 3], &mut [0.0]);
    }
}
