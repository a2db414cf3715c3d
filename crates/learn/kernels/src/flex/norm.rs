//! Batch normalisation on tensors.

use burn::backend::flex::FlexTensor;

use super::tensor::{channels_last, readable, rows, shape4, values, vector};
use offramp_cpu::memory::Buffer;
use offramp_cpu::norm::{
    Affine, Statistics, apply, column_sums, gradient_sums, input_gradient, statistics,
};

/// Output and batch statistics.
pub(crate) struct Train {
    pub output: FlexTensor,
    pub statistics: Statistics,
}

/// `1 / sqrt(variance + eps)`, in double precision until the end.
fn inverse_deviation(variance: &[f32], eps: f64) -> impl Iterator<Item = f64> {
    variance
        .iter()
        .map(move |&v| 1.0 / (f64::from(v) + eps).sqrt())
}

fn affine(gamma: &[f32], beta: &[f32], statistics: &Statistics, eps: f64) -> Affine {
    let inverse = inverse_deviation(&statistics.variance, eps);
    Affine {
        mean: statistics.mean.clone(),
        scale: inverse
            .zip(gamma)
            .map(|(i, &g)| (i * f64::from(g)) as f32)
            .collect(),
        shift: beta.to_vec(),
    }
}

/// `act(gamma * (x - mean) / sqrt(variance + eps) + beta + residual)` with the batch statistics.
pub(crate) fn train(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    residual: Option<&FlexTensor>,
    eps: f64,
    relu: bool,
) -> Train {
    let x = readable(x);
    let shape = shape4(&x);
    let x = rows(&x);
    let statistics = statistics(&x, shape[1]);
    let affine = affine(&values(gamma), &values(beta), &statistics, eps);
    let residual = residual.map(readable);
    let residual = residual.as_ref().map(rows);
    let mut output = Buffer::new(x.len());
    apply(&x, &affine, residual.as_deref(), relu, &mut output);
    Train {
        output: channels_last(output, shape),
        statistics,
    }
}

/// The same with given statistics: `parameters` are gamma, beta, mean and variance.
pub(crate) fn eval(
    x: &FlexTensor,
    parameters: [&FlexTensor; 4],
    residual: Option<&FlexTensor>,
    eps: f64,
    relu: bool,
) -> FlexTensor {
    let [gamma, beta, mean, variance] = parameters.map(|p| values(p).into_owned());
    let affine = affine(&gamma, &beta, &Statistics { mean, variance }, eps);
    let x = readable(x);
    let shape = shape4(&x);
    let residual = residual.map(readable);
    let residual = residual.as_ref().map(rows);
    let x = rows(&x);
    let mut output = Buffer::new(x.len());
    apply(&x, &affine, residual.as_deref(), relu, &mut output);
    channels_last(output, shape)
}

/// Gradients of the training mode.
pub(crate) struct Gradients {
    pub x: FlexTensor,
    pub gamma: FlexTensor,
    pub beta: FlexTensor,
    /// Present if it was asked for.
    pub residual: Option<FlexTensor>,
}

/// What the backward pass needs of the forward pass.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub x: FlexTensor,
    pub gamma: FlexTensor,
    /// The output, whose sign is the ReLU's mask; none without a ReLU.
    pub gate: Option<FlexTensor>,
    pub statistics: Statistics,
    pub eps: f64,
}

/// With `g` the gated output gradient, `m` the number of rows and `i = 1 / sqrt(variance + eps)`:
/// `dx = gamma i (g - mean(g) - (x - mean) i^2 mean(g (x - mean)))`.
pub(crate) fn backward(saved: &Saved, dy: FlexTensor, want_residual: bool) -> Gradients {
    let x = readable(&saved.x);
    let shape = shape4(&x);
    let x = rows(&x);
    let dy = readable(&dy);
    let gate = saved.gate.as_ref().map(rows);
    let sums = gradient_sums(&x, &rows(&dy), gate.as_deref(), &saved.statistics.mean);
    let gamma = values(&saved.gamma);
    let count = (x.len() / shape[1].max(1)) as f64;
    let inverse: Vec<f64> = inverse_deviation(&saved.statistics.variance, saved.eps).collect();
    let channels = || inverse.iter().zip(gamma.iter()).enumerate();
    let gain = |i: f64, g: f32| i * f64::from(g);
    let affine = Affine {
        mean: saved.statistics.mean.clone(),
        scale: channels()
            .map(|(c, (&i, &g))| (-gain(i, g) * i * i * sums.product[c] / count) as f32)
            .collect(),
        shift: channels()
            .map(|(c, (&i, &g))| (-gain(i, g) * sums.gradient[c] / count) as f32)
            .collect(),
    };
    let gains: Vec<f32> = channels().map(|(_, (&i, &g))| gain(i, g) as f32).collect();
    let mut dx = Buffer::new(x.len());
    let residual = if want_residual && gate.is_some() {
        let mut gated = Buffer::new(x.len());
        let kept = Some(&mut gated[..]);
        input_gradient(
            &x,
            &rows(&dy),
            gate.as_deref(),
            &affine,
            &gains,
            &mut dx,
            kept,
        );
        Some(channels_last(gated, shape))
    } else {
        input_gradient(
            &x,
            &rows(&dy),
            gate.as_deref(),
            &affine,
            &gains,
            &mut dx,
            None,
        );
        want_residual.then(|| dy.clone())
    };
    Gradients {
        x: channels_last(dx, shape),
        gamma: vector(
            channels()
                .map(|(c, (&i, _))| (sums.product[c] * i) as f32)
                .collect(),
        ),
        beta: vector(sums.gradient.iter().map(|&s| s as f32).collect()),
        residual,
    }
}

/// Sums over everything but the channels of `[N, C, H, W]`.
pub(crate) fn channel_sums(tensor: &FlexTensor) -> FlexTensor {
    let tensor = readable(tensor);
    let sums = column_sums(&rows(&tensor), shape4(&tensor)[1]);
    vector(sums.iter().map(|&s| s as f32).collect())
}
