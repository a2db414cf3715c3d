//! Decoupled knowledge distillation.

use burn::tensor::activation::softplus;
use burn::tensor::{Bool, FloatDType, Int, Tensor};

use crate::Targets;

/// The two parts of the divergence of softened probabilities.
#[derive(Clone, Debug)]
pub struct Decoupled {
    /// Of the binary distribution `[p_y, 1 - p_y]`, `[1]`.
    pub target: Tensor<1>,
    /// Of the distribution over the other classes, `[1]`.
    pub non_target: Tensor<1>,
}

/// Target-class and non-target-class knowledge distillation (Zhao et al., *Decoupled Knowledge
/// Distillation*, CVPR 2022):
///
/// ```text
/// TCKD = T^2 KL([p_y, 1 - p_y] || [q_y, 1 - q_y])      p = softmax(t / T), q = softmax(s / T)
/// NCKD = T^2 sum_{c != y} p'_c (log p'_c - log q'_c)   p'_c = p_c / (1 - p_y), q' alike
/// KL_T(s || t) = TCKD + (1 - p_y) NCKD                 for one sample
/// ```
///
/// Each is the mean over the labelled samples. A sample without a label (-1) has no target
/// class and is left out, of the count too; a batch without any gives 0. Of a mixed sample both
/// labels count, by their shares, as in [`cross_entropy`](crate::cross_entropy); smoothing has no
/// part in it.
///
/// The target class is taken out of the softmax, not pushed down by a constant (the released
/// code subtracts 1000, which logits of that size undo), and logarithms are never taken of
/// probabilities: logits of 1e4 give finite values and gradients.
///
/// # Shapes
/// - `student`, `teacher`: `[N, C]` with `C >= 2`, labels: `[N]` below `C`; in nats
pub fn decoupled(
    student: Tensor<2>,
    teacher: Tensor<2>,
    targets: &Targets,
    temperature: f64,
) -> Decoupled {
    let student = student / temperature;
    let teacher = teacher.without_autodiff() / temperature;
    let dtype = FloatDType::from(student.dtype());
    let of = |labels: &Tensor<1, Int>| {
        let labels = labels.clone().without_autodiff();
        let known = labels.clone().greater_equal_elem(0).float().cast(dtype);
        let parts = parts(student.clone(), teacher.clone(), labels);
        (parts.map(|part| part * known.clone()), known)
    };
    let ([mut target, mut non_target], mut known) = of(&targets.labels);
    if let Some((labels, lambda)) = &targets.mix {
        let ([other_target, other_non_target], other_known) = of(labels);
        let lambda = lambda.clone().cast(dtype);
        let rest = -lambda.clone() + 1.0;
        target = target * lambda.clone() + other_target * rest.clone();
        non_target = non_target * lambda.clone() + other_non_target * rest.clone();
        known = known * lambda + other_known * rest;
    }
    let count = known.sum();
    let nothing = count.clone().equal_elem(0.0);
    let scale = count.mask_fill(nothing, 1.0).recip() * temperature.powi(2);
    Decoupled {
        target: target.sum() * scale.clone(),
        non_target: non_target.sum() * scale,
    }
}

/// TCKD and NCKD of every sample without `T^2`, `[N]` each; undefined for label -1.
fn parts(student: Tensor<2>, teacher: Tensor<2>, labels: Tensor<1, Int>) -> [Tensor<1>; 2] {
    let [n, c] = student.dims();
    let classes = Tensor::<1, Int>::arange(0..c as i64, &labels.device()).reshape([1, c]);
    let labels = labels.clamp_min(0).reshape([n, 1]);
    let hit = classes.expand([n, c]).equal(labels.expand([n, c]));
    let q = Split::new(student, &hit);
    let p = Split::new(teacher, &hit);
    let target =
        p.target.clone().exp() * (p.target - q.target) + p.rest.clone().exp() * (p.rest - q.rest);
    let others = (p.others.clone().exp() * (p.others - q.others)).mask_fill(hit, 0.0);
    [target, others.sum_dim(1)].map(|part| part.reshape([n]))
}

/// A distribution as its target class against the rest, and the rest within itself.
struct Split {
    /// `log p_y`, `[N, 1]`.
    target: Tensor<2>,
    /// `log (1 - p_y)`, `[N, 1]`.
    rest: Tensor<2>,
    /// `log p'_c`, `[N, C]`; without meaning at the target.
    others: Tensor<2>,
}

impl Split {
    fn new(logits: Tensor<2>, hit: &Tensor<2, Bool>) -> Self {
        // Where the target was, the least logit of the row changes no maximum and gets no weight.
        let least = logits.clone().without_autodiff().min_dim(1);
        let least = least.expand(logits.dims());
        let others = logits.clone().mask_where(hit.clone(), least);
        let top = others.clone().without_autodiff().max_dim(1);
        let others = others - top.clone();
        let sum = others.clone().exp().mask_fill(hit.clone(), 0.0).sum_dim(1);
        let own = logits.mask_fill(hit.clone().bool_not(), 0.0).sum_dim(1);
        let odds = own - top - sum.clone().log();
        Self {
            target: -softplus(-odds.clone(), 1.0),
            rest: -softplus(odds, 1.0),
            others: others - sum.log(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kl_divergence;
    use crate::support::{assert_all_close, assert_close, device, matrix};

    const TEACHER: [f32; 3] = [3.0, 1.0, -2.0];

    fn targets<const N: usize>(labels: [i64; N]) -> Targets {
        Targets::new(Tensor::from_data(labels, &device()))
    }

    /// Student [1, 0, -1], teacher [3, 1, -2], label 0, `T = 4`, `beta = 8`; also computed by mdistiller's code.
    #[test]
    fn values_by_the_formula() {
        let (s, t) = (
            matrix(&[[1.0, 0.0, -1.0]], &device()),
            matrix(&[TEACHER], &device()),
        );
        let parts = decoupled(s.clone(), t.clone(), &targets([0]), 4.0);
        assert_close(parts.target.clone(), 0.384430);
        assert_close(parts.non_target.clone(), 0.458524);
        assert_close(parts.target + parts.non_target * 8.0, 4.052624);
        assert_close(kl_divergence(s, t, 4.0), 0.600738);
    }

    /// One row at a time, for the weight `1 - p_y` differs.
    #[test]
    fn the_parts_add_up_to_the_divergence() {
        let device = device();
        for (label, temperature) in [(0, 1.0), (1, 4.0), (2, 0.5)] {
            let (s, t) = (
                matrix(&[[0.3, -2.0, 1.5]], &device),
                matrix(&[TEACHER], &device),
            );
            let parts = decoupled(s.clone(), t.clone(), &targets([label]), temperature);
            let p = burn::tensor::activation::softmax(t.clone() / temperature, 1);
            let rest = -p.narrow(1, label as usize, 1).reshape([1]) + 1.0;
            let sum = (parts.target + rest * parts.non_target).into_scalar::<f32>();
            assert_close(kl_divergence(s, t, temperature), f64::from(sum));
        }
    }

    #[test]
    fn unlabelled_rows_are_left_out_and_mixed_ones_count_by_share() {
        let device = device();
        let rows = [[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]];
        let teacher = [TEACHER, [0.0, 1.0, 1.5]];
        let of = |rows: &[[f32; 3]], teacher: &[[f32; 3]], targets: &Targets| {
            let parts = decoupled(
                matrix(rows, &device),
                matrix(teacher, &device),
                targets,
                4.0,
            );
            Tensor::cat(vec![parts.target, parts.non_target], 0)
        };
        let scalars = |x: Tensor<1>| x.into_data().iter::<f64>().collect::<Vec<_>>();
        let alone = scalars(of(&rows[..1], &teacher[..1], &targets([0])));
        assert_all_close(of(&rows, &teacher, &targets([0, -1])), &alone);
        assert_all_close(of(&rows, &teacher, &targets([-1, -1])), &[0.0, 0.0]);

        let other = scalars(of(&rows[..1], &teacher[..1], &targets([2])));
        let mut mixed = targets([0]);
        mixed.mix = Some((targets([2]).labels, Tensor::from_floats([0.75], &device)));
        let expected: Vec<f64> = alone
            .iter()
            .zip(&other)
            .map(|(a, b)| 0.75 * a + 0.25 * b)
            .collect();
        assert_all_close(of(&rows[..1], &teacher[..1], &mixed), &expected);
    }

    #[test]
    fn huge_logits_stay_finite() {
        let device = device();
        let student = matrix(&[[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]], &device).require_grad();
        let teacher = matrix(&[[-1e4, 0.0, 1e4], [1e4, -1e4, 0.0]], &device);
        let parts = decoupled(student.clone(), teacher, &targets([0, 1]), 4.0);
        let total = parts.target + parts.non_target;
        assert!(total.clone().is_finite().all().into_scalar::<bool>());
        let gradient = student.grad(&total.backward()).unwrap();
        assert!(gradient.is_finite().all().into_scalar::<bool>());
    }
}
