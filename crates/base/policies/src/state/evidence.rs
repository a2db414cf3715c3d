//! Statistics of the softmax of one sample at one exit.

use serde::Serialize;

use super::Partition;

/// What a policy looks at: the softmax of one sample at one exit, summed up once.
///
/// With `p = softmax(logits / T)` over `C` classes, `p(1) >= p(2) >= ...` sorted:
///
/// - `confidence = p(1)`
/// - `entropy = -sum_c p_c ln p_c`, in nats
/// - `margin = p(1) - p(2)`, with `p(2) = 0` when there is one class
/// - `prediction = argmax_c p_c`, the lowest class among equals
///
/// Sums run in `f64`, so that the order of magnitude of the logits does not matter.
///
/// Logits with a NaN or `+inf`, and an empty row, give NaN for all three numbers and prediction 0:
/// no comparison with a threshold holds, so such a sample runs on to the deepest exit.
/// A logit of `-inf` is a class of probability 0.
///
/// ```
/// use offramp_policies::Evidence;
///
/// let evidence = Evidence::from_logits(&[1000.0, 1000.0, -1000.0]);
/// assert_eq!(evidence.confidence, 0.5);
/// assert_eq!(evidence.margin, 0.0);
/// assert_eq!(evidence.prediction, 0);
/// assert!((evidence.entropy - 2f32.ln()).abs() < 1e-7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// The largest probability.
    pub confidence: f32,
    /// The entropy of the probabilities, nats.
    pub entropy: f32,
    /// The largest probability minus the second largest.
    pub margin: f32,
    /// The most probable class; the lowest one among equals.
    pub prediction: usize,
}

impl Evidence {
    /// Evidence from the logits of one sample, `[C]`.
    pub fn from_logits(logits: &[f32]) -> Self {
        Self::from_scaled_logits(logits, 1.0)
    }

    /// Evidence from `logits / temperature`, see [`Temperatures`](crate::Temperatures).
    pub fn from_scaled_logits(logits: &[f32], temperature: f64) -> Self {
        let partition = Partition::new(logits, temperature);
        let log_probabilities: Vec<f64> = (logits.iter())
            .map(|&z| partition.log_probability(z))
            .collect();
        Self::from_log_probabilities(&log_probabilities, logits)
    }

    /// Evidence from log-probabilities and numbers in the same order, the largest of which names the
    /// prediction.
    pub(crate) fn from_log_probabilities<T: PartialOrd>(
        log_probabilities: &[f64],
        order: &[T],
    ) -> Self {
        let mut evidence =
            Self::summed_up(log_probabilities.iter().map(|&ln_p| (ln_p.exp(), ln_p)));
        if !evidence.confidence.is_nan() {
            evidence.prediction = argmax(order);
        }
        evidence
    }

    /// Evidence from probabilities, `[C]`, that are not negative and sum to 1 (not checked).
    pub fn from_probabilities(probabilities: &[f64]) -> Self {
        Self::summed_up(probabilities.iter().map(|&p| (p, p.ln())))
    }

    /// One pass over `(p, ln p)`: the two largest, the first place of the largest, and the entropy.
    fn summed_up(probabilities: impl Iterator<Item = (f64, f64)>) -> Self {
        let (mut first, mut second, mut prediction) = (0.0, 0.0, 0);
        let (mut entropy, mut broken) = (0.0, true);
        for (class, (p, ln_p)) in probabilities.enumerate() {
            if p.is_nan() {
                broken = true;
                break;
            }
            broken = false;
            if p > first {
                (second, first, prediction) = (first, p, class);
            } else if p > second {
                second = p;
            }
            if p > 0.0 {
                entropy -= p * ln_p;
            }
        }
        if broken {
            return Self {
                confidence: f32::NAN,
                entropy: f32::NAN,
                margin: f32::NAN,
                prediction: 0,
            };
        }
        Self {
            confidence: first as f32,
            // A one-hot row sums to -0 and rounding can leave -1e-17; an entropy is not negative.
            entropy: f64::max(entropy, 0.0) as f32,
            margin: (first - second) as f32,
            prediction,
        }
    }
}

/// The index of the largest value, the lowest among equals; 0 for an empty list.
fn argmax<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain Python, double precision, logits z1 of the methods page:
    /// `e=[math.exp(z) for z in (1,0,-1)]; p=[x/sum(e) for x in e]`
    /// `max(p), -sum(x*math.log(x) for x in p), sorted(p)[-1]-sorted(p)[-2]`
    #[test]
    fn golden_numbers() {
        let e = Evidence::from_logits(&[1.0, 0.0, -1.0]);
        assert!((e.confidence - 0.665_240_96).abs() < 1e-7);
        assert!((e.entropy - 0.832_395_8).abs() < 1e-6);
        assert!((e.margin - 0.420_512_48).abs() < 1e-7);
        assert_eq!(e.prediction, 0);
    }

    #[test]
    fn temperature_divides_the_logits() {
        let scaled = Evidence::from_scaled_logits(&[4.0, 2.0, -2.0], 2.0);
        assert_eq!(scaled, Evidence::from_logits(&[2.0, 1.0, -1.0]));
    }

    #[test]
    fn uniform_and_certain_rows() {
        let uniform = Evidence::from_logits(&[-7.0; 4]);
        assert_eq!(
            (uniform.confidence, uniform.margin, uniform.prediction),
            (0.25, 0.0, 0)
        );
        assert!((uniform.entropy - 4f32.ln()).abs() < 1e-6);
        let certain = Evidence::from_logits(&[0.0, 1e30, -1e30]);
        assert_eq!(
            certain,
            Evidence {
                confidence: 1.0,
                entropy: 0.0,
                margin: 1.0,
                prediction: 1
            }
        );
        assert!(certain.entropy.is_sign_positive());
    }

    #[test]
    fn the_second_largest_may_come_first() {
        let e = Evidence::from_probabilities(&[0.3, 0.1, 0.6]);
        assert_eq!(e.prediction, 2);
        assert!((e.margin - 0.3).abs() < 1e-7);
    }

    #[test]
    fn broken_rows_are_nan_in_every_number() {
        for row in [
            &[f32::NAN, 1.0][..],
            &[1.0, f32::NAN],
            &[f32::INFINITY, 0.0],
            &[],
        ] {
            let e = Evidence::from_logits(row);
            assert!(
                e.confidence.is_nan() && e.entropy.is_nan() && e.margin.is_nan(),
                "{row:?}"
            );
            assert_eq!(e.prediction, 0);
        }
    }

    #[test]
    fn minus_infinity_is_probability_zero() {
        let e = Evidence::from_logits(&[f32::NEG_INFINITY, 3.0]);
        assert_eq!(
            (e.confidence, e.entropy, e.margin, e.prediction),
            (1.0, 0.0, 1.0, 1)
        );
    }
}
