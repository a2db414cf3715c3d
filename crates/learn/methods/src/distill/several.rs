//! Shared by the distillers that weight several teachers.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use offramp_kernels::softmax_cross_entropy;
use offramp_losses::Targets;

use super::{DistillBatch, DistillInfo};
use crate::MethodError;

/// Refuses fewer than two teachers.
pub(super) fn at_least_two(method: &'static str, info: &DistillInfo) -> Result<(), MethodError> {
    match info.teachers.len() {
        0 | 1 => Err(MethodError::TooFewTeachers {
            method,
            teachers: info.teachers.len(),
        }),
        _ => Ok(()),
    }
}

/// The logits of every teacher as constants, `[N, C]` each.
pub(super) fn constant_logits(batch: &DistillBatch) -> Vec<Tensor<2>> {
    (batch.teachers.iter())
        .map(|view| view.exit.logits.clone().without_autodiff())
        .collect()
}

/// `KL_T(student || teacher)` of every sample, for every teacher.
///
/// # Shapes
/// - `student`, `teachers`: `[N, C]` each, output: `[K, N]`, in nats
pub(super) fn divergences(
    student: &Tensor<2>,
    teachers: &[Tensor<2>],
    temperature: f64,
) -> Tensor<2> {
    let log_q = log_softmax(student.clone() / temperature, 1);
    let of = |teacher: &Tensor<2>| {
        let log_p = log_softmax(teacher.clone() / temperature, 1);
        let difference = log_p.clone() - log_q.clone();
        let divergence = (log_p.exp() * difference).sum_dim(1).squeeze_dim::<1>(1);
        divergence * temperature.powi(2)
    };
    Tensor::stack(teachers.iter().map(of).collect(), 0)
}

/// Cross-entropy of every sample with its labels, not softened, for every teacher's logits; 0
/// for samples without a label.
///
/// # Shapes
/// - `logits`: `[N, C]` each, output: `[K, N]`, in nats
pub(super) fn cross_entropies(logits: &[Tensor<2>], targets: &Targets) -> Tensor<2> {
    let of = |logits: &Tensor<2>| {
        let first = softmax_cross_entropy(logits.clone(), targets.labels.clone());
        match &targets.mix {
            Some((labels, lambda)) => {
                let second = softmax_cross_entropy(logits.clone(), labels.clone());
                first * lambda.clone() + second * (-lambda.clone() + 1.0)
            }
            None => first,
        }
    };
    Tensor::stack(logits.iter().map(of).collect(), 0)
}

/// `1 / (N K) sum_kn w_kn l_kn`, `[1]`.
pub(super) fn weighted_mean(weights: Tensor<2>, losses: Tensor<2>) -> Tensor<1> {
    (weights * losses).mean()
}
