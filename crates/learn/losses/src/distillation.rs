//! Softened logits of several students against those of several targets.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use serde::{Deserialize, Serialize};

/// How softened probabilities are compared. Both have the same gradient with respect to the
/// student; the values differ by the entropy of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoftForm {
    /// `sum_c p_c (log p_c - log q_c)`: 0 when the two agree.
    Kl,
    /// `-sum_c p_c log q_c`.
    CrossEntropy,
}

/// Knowledge distillation by softened probabilities (Hinton, Vinyals and Dean, *Distilling the
/// Knowledge in a Neural Network*, NIPS workshop 2014), every student against every target.
///
/// With `log q_i = log softmax(s_i / T)` and `log p_r = log softmax(t_r / T)`:
///
/// - KL: `D_ir = T^2 mean_n sum_c p_rnc (log p_rnc - log q_inc)`
/// - cross-entropy: `D_ir = -T^2 mean_n sum_c p_rnc log q_inc`
///
/// `T^2` keeps the gradient's size independent of the temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// Temperature `T > 0`.
    pub temperature: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
    /// Whether a gradient flows into the targets too.
    pub target_gradient: bool,
}

impl Distillation {
    /// The usual one: no gradient into the targets.
    pub fn new(temperature: f64, form: SoftForm) -> Self {
        Self {
            temperature,
            form,
            target_gradient: false,
        }
    }

    /// The matrix `D` of all pairs. Each softmax is computed once.
    ///
    /// # Shapes
    /// - `students`: `[K, N, C]`, `targets`: `[R, N, C]`, output: `[K, R]`
    pub fn pairs(&self, students: Tensor<3>, targets: Tensor<3>) -> Tensor<2> {
        let [teachers, _, _] = targets.dims();
        let log_q = self.log_probabilities(students);
        let log_p = self.log_target(targets);
        let p = log_p.clone().exp();
        // One target at a time: the whole [K, R, N, C] block would be large for many classes.
        let columns = (0..teachers)
            .map(|r| {
                let (p, log_p) = (p.clone().narrow(0, r, 1), log_p.clone().narrow(0, r, 1));
                self.compare(p, log_p, log_q.clone()).unsqueeze_dim::<2>(1)
            })
            .collect();
        Tensor::cat(columns, 1)
    }

    /// Every student against the target at the same place, or against the only one.
    ///
    /// # Shapes
    /// - `students`: `[K, N, C]`, `targets`: `[K, N, C]` or `[1, N, C]`, output: `[K]`
    pub fn rows(&self, students: Tensor<3>, targets: Tensor<3>) -> Tensor<1> {
        let log_q = self.log_probabilities(students);
        let log_p = self.log_target(targets);
        self.compare(log_p.clone().exp(), log_p, log_q)
    }

    fn log_probabilities(&self, logits: Tensor<3>) -> Tensor<3> {
        log_softmax(logits / self.temperature, 2)
    }

    fn log_target(&self, targets: Tensor<3>) -> Tensor<3> {
        self.log_probabilities(if self.target_gradient {
            targets
        } else {
            targets.without_autodiff()
        })
    }

    fn compare(&self, p: Tensor<3>, log_p: Tensor<3>, log_q: Tensor<3>) -> Tensor<1> {
        let difference = match self.form {
            SoftForm::Kl => log_p - log_q,
            SoftForm::CrossEntropy => -log_q,
        };
        let per_sample = (p * difference).sum_dim(2).squeeze_dim::<2>(2);
        per_sample.mean_dim(1).squeeze_dim::<1>(1) * self.temperature.powi(2)
    }

    /// One student against one target.
    ///
    /// # Shapes
    /// - `student`, `target`: `[N, C]`, output: `[1]`
    pub fn pair(&self, student: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
        self.rows(student.unsqueeze_dim(0), target.unsqueeze_dim(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Z, assert_all_close, device, matrix};

    /// `KL_3(z_i || e_k)` of z1, z2, z3 against three ensembles of them, those of MATE-R in `golden.py`.
    #[test]
    fn every_student_against_every_target() {
        let device = device();
        let stack = |rows: &[[f32; 3]]| matrix(rows, &device).reshape([3, 1, 3]);
        let ensembles = [
            [1.42479, 0.212395, -0.909969],
            [2.0, 0.5, -0.788058],
            [2.57521, 0.787605, -0.334759],
        ];
        let pairs = Distillation::new(3.0, SoftForm::Kl).pairs(stack(&Z), stack(&ensembles));
        assert_all_close(
            pairs,
            &[
                0.009549, 0.052474, 0.088566, 0.032751, 0.003506, 0.010654, 0.068800, 0.023323,
                0.004144,
            ],
        );
    }

    #[test]
    fn a_gradient_reaches_the_target_only_when_asked_for() {
        let device = device();
        for target_gradient in [false, true] {
            let student = matrix(&[Z[0]], &device).require_grad();
            let target = matrix(&[Z[2]], &device).require_grad();
            let loss = Distillation {
                target_gradient,
                ..Distillation::new(3.0, SoftForm::Kl)
            }
            .pair(student.clone(), target.clone());
            let gradients = loss.backward();
            assert!(student.grad(&gradients).is_some());
            assert_eq!(target.grad(&gradients).is_some(), target_gradient);
        }
    }
}
