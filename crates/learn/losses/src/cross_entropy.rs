//! Cross-entropy with labels.

use burn::tensor::activation::log_softmax;
use burn::tensor::{FloatDType, Int, Tensor};
use offramp_kernels::softmax_cross_entropy;

use crate::Targets;

/// Cross-entropy of logits and labels, the mean over the labelled samples.
///
/// With `q = log softmax(z)`, label `y`, mixed-in label `y'` of share `1 - lambda`, and
/// smoothing `epsilon`, a sample's loss is
///
/// `l = -(1 - epsilon) (lambda q_y + (1 - lambda) q_y') - epsilon mean_c q_c`
///
/// and without mixing `lambda = 1`. The result is `sum_n l_n / N`. Where labels are missing
/// (-1), their share of `l` is left out of the sum and of `N` alike; a batch without any
/// label gives 0, not the NaN of a mean over nothing.
///
/// The smoothing is PyTorch's (`F.cross_entropy(label_smoothing=epsilon)`; Szegedy et al.,
/// *Rethinking the Inception Architecture for Computer Vision*, CVPR 2016); the mixing is that
/// of Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018.
///
/// # Shapes
/// - `logits`: `[N, C]`, labels: `[N]` below `C`, output: `[1]`, in nats
pub fn cross_entropy(logits: Tensor<2>, targets: &Targets) -> Tensor<1> {
    let dtype = FloatDType::from(logits.dtype());
    let SampleLosses { loss, known } = cross_entropy_each(logits, targets);
    let count = known.sum();
    let nothing = count.clone().equal_elem(0.0).float().cast(dtype);
    loss.sum() / (count + nothing)
}

/// The loss of every sample.
#[derive(Clone, Debug)]
pub struct SampleLosses {
    /// What [`cross_entropy`] sums, `l_n`, `[N]`: 0 for a sample without a label.
    pub loss: Tensor<1>,
    /// The share of `l_n` that is labelled, `[N]`: 1 or 0, and between them where images are
    /// mixed.
    pub known: Tensor<1>,
}

/// [`cross_entropy`] before its mean: `sum_n l_n / sum_n known_n`.
///
/// # Shapes
/// - `logits`: `[N, C]`, labels: `[N]` below `C`
pub fn cross_entropy_each(logits: Tensor<2>, targets: &Targets) -> SampleLosses {
    let dtype = FloatDType::from(logits.dtype());
    let spread = (targets.smoothing > 0.0).then(|| {
        -log_softmax(logits.clone(), 1)
            .mean_dim(1)
            .squeeze_dim::<1>(1)
    });
    let of = |labels: &Tensor<1, Int>| {
        let hard = softmax_cross_entropy(logits.clone(), labels.clone());
        let known = labels.clone().greater_equal_elem(0).float().cast(dtype);
        let loss = match &spread {
            Some(spread) => {
                hard * (1.0 - targets.smoothing)
                    + spread.clone() * known.clone() * targets.smoothing
            }
            None => hard,
        };
        (loss, known)
    };

    let (mut loss, mut known) = of(&targets.labels);
    if let Some((labels, lambda)) = &targets.mix {
        let lambda = lambda.clone().cast(dtype);
        let (other, other_known) = of(labels);
        let rest = -lambda.clone() + 1.0;
        loss = loss * lambda.clone() + other * rest.clone();
        known = known * lambda + other_known * rest;
    }
    SampleLosses { loss, known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Z, assert_close, device, matrix};
    use burn::tensor::Device;

    fn labels<const N: usize>(labels: [i64; N], device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(labels, device)
    }

    /// `log sum_c exp(z_c) - z_0` of z1, z2, z3.
    #[test]
    fn values_by_the_formula() {
        let device = device();
        let targets = Targets::new(labels([0], &device));
        for (z, expected) in Z.iter().zip([0.407606, 0.241311, 0.169846]) {
            assert_close(cross_entropy(matrix(&[*z], &device), &targets), expected);
        }
    }

    /// The number of labelled samples was float32 whatever the logits were.
    #[test]
    fn double_precision_stays_double() {
        let device = device();
        let mut targets = Targets::new(labels([0, -1], &device));
        let shares = Tensor::from_floats([0.5, 1.0], &device);
        targets.mix = Some((labels([0, 1], &device), shares));
        let logits = matrix(&[Z[0], Z[1]], &device).cast(FloatDType::F64);
        let loss = cross_entropy(logits, &targets);
        assert!(loss.dtype() == FloatDType::F64.into());
        assert_close(loss.cast(FloatDType::F32), 0.407606);
    }

    /// `-(1-e) (l q_0 + (1-l) q_2) - e mean(q)` with `q = log softmax([1, 0, -1])`
    /// `= [-.407606, -1.407606, -2.407606]`: for e = .1, l = 1: .9 * .407606 + .1 * 1.407606;
    /// for e = .1, l = .75: .9 * (.75 * .407606 + .25 * 2.407606) + .1 * 1.407606.
    #[test]
    fn smoothing_and_mixing() {
        let device = device();
        let z = matrix(&[Z[0]], &device);
        let mut targets = Targets::new(labels([0], &device));
        targets.smoothing = 0.1;
        assert_close(cross_entropy(z.clone(), &targets), 0.507606);
        targets.mix = Some((labels([2], &device), Tensor::from_floats([0.75], &device)));
        assert_close(cross_entropy(z, &targets), 0.957606);
    }

    #[test]
    fn unlabelled_samples_do_not_count() {
        let device = device();
        let z = matrix(&[Z[0], Z[1], Z[2]], &device);
        let mut targets = Targets::new(labels([0, -1, 0], &device));
        targets.smoothing = 0.1;
        let with = cross_entropy(z, &targets).into_scalar::<f32>();
        targets.labels = labels([0, 0], &device);
        let without = cross_entropy(matrix(&[Z[0], Z[2]], &device), &targets);
        assert_close(without, f64::from(with));
    }

    #[test]
    fn a_batch_without_labels_gives_zero() {
        let device = device();
        let mut targets = Targets::new(labels([-1, -1], &device));
        targets.smoothing = 0.1;
        let z = matrix(&[Z[0], Z[1]], &device);
        assert_close(cross_entropy(z.clone(), &targets), 0.0);
        targets.mix = Some((
            labels([-1, -1], &device),
            Tensor::from_floats([0.5, 1.0], &device),
        ));
        assert_close(cross_entropy(z, &targets), 0.0);
    }

    /// Only the second label of the first sample is known, with share .25; the second sample is
    /// known whole: (.25 * CE(z1, 2) + CE(z2, 0)) / 1.25 = (.25 * 2.407606 + .241311) / 1.25.
    #[test]
    fn a_mixed_sample_counts_by_the_share_that_is_labelled() {
        let device = device();
        let targets = Targets {
            labels: labels([-1, 0], &device),
            mix: Some((
                labels([2, 1], &device),
                Tensor::from_floats([0.75, 1.0], &device),
            )),
            smoothing: 0.0,
        };
        let z = matrix(&[Z[0], Z[1]], &device);
        assert_close(cross_entropy(z, &targets), 0.674570);
    }
}
