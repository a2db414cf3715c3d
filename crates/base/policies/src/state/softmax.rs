//! A softmax in double precision.

/// The normaliser of a softmax, `ln sum_c exp(z_c / T) = max / T + ln_sum`.
///
/// The two parts stay apart: added up, a large logit would swallow `ln_sum`.
#[derive(Clone, Copy)]
pub(crate) struct Partition {
    max: f64,
    ln_sum: f64,
    temperature: f64,
}

impl Partition {
    /// NaN when a logit is NaN or `+inf`, when every one is `-inf`, and when there is none.
    pub(crate) fn new(logits: &[f32], temperature: f64) -> Self {
        let max = logits
            .iter()
            .fold(f64::NEG_INFINITY, |max, &z| max.max(f64::from(z)));
        let sum: f64 = logits
            .iter()
            .map(|&z| ((f64::from(z) - max) / temperature).exp())
            .sum();
        Self {
            max,
            ln_sum: sum.ln(),
            temperature,
        }
    }

    /// `ln softmax(z / T)_c` of the class with logit `z`.
    pub(crate) fn log_probability(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.max) / self.temperature - self.ln_sum
    }

    /// Replaces `out` by the probabilities of `logits`.
    pub(crate) fn probabilities(&self, logits: &[f32], out: &mut Vec<f64>) {
        out.clear();
        out.extend(logits.iter().map(|&z| self.log_probability(z).exp()));
    }
}
