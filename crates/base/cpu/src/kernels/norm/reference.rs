//! Scalar twins of the normalisation passes, in double precision.

/// Mean and biased variance of every channel.
pub(super) fn statistics(x: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / channels) as f64;
    let mut mean = vec![0.0; channels];
    for (i, &v) in x.iter().enumerate() {
        mean[i % channels] += f64::from(v) / rows;
    }
    let mut variance = vec![0.0; channels];
    for (i, &v) in x.iter().enumerate() {
        variance[i % channels] += (f64::from(v) - mean[i % channels]).powi(2) / rows;
    }
    (mean, variance)
}

/// `sum g` and `sum g * (x - mean)`.
pub(super) fn gradient_sums(
    x: &[f32],
    dy: &[f32],
    gate: Option<&[f32]>,
    mean: &[f32],
) -> (Vec<f64>, Vec<f64>) {
    let channels = mean.len();
    let (mut gradient, mut product) = (vec![0.0; channels], vec![0.0; channels]);
    for i in 0..x.len() {
        if gate.is_none_or(|g| g[i] > 0.0) {
            let c = i % channels;
            gradient[c] += f64::from(dy[i]);
            product[c] += f64::from(dy[i]) * (f64::from(x[i]) - f64::from(mean[c]));
        }
    }
    (gradient, product)
}
