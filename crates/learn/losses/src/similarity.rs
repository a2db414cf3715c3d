//! Similarities within a batch.

use burn::tensor::Tensor;

use crate::unit_rows::unit_rows;

/// `||G(t) - G(s)||_F^2 / N^2` with `G(f)` = the rows of `f f^T`, each of length 1: which images
/// of the batch are alike (Tung and Mori, *Similarity-Preserving Knowledge Distillation*, ICCV
/// 2019). The teacher gets no gradient.
///
/// # Shapes
/// - `student`: `[N, D_s]`, `teacher`: `[N, D_t]`, output: `[1]`
pub fn similarity_preserving(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let gram = |f: Tensor<2>| unit_rows(f.clone().matmul(f.transpose()));
    (gram(student) - gram(teacher.without_autodiff()))
        .square()
        .mean()
}

/// Added to probabilities before their ratio is taken.
const EPSILON: f64 = 1e-7;

/// `mean_ij p_ij log(p_ij / q_ij)` over all pairs of a batch, with
/// `p_ij = (1 + cos(t_i, t_j)) / sum_j (1 + cos(t_i, t_j))`, and `q` the same of the student:
/// how probable `j` is as a neighbour of `i` (Passalis and Tefas, *Learning Deep Representations
/// with Probabilistic Knowledge Transfer*, ECCV 2018). The teacher gets no gradient.
///
/// Both probabilities of the ratio get `1e-7` on top, as in the authors' code.
///
/// # Shapes
/// - `student`: `[N, D_s]`, `teacher`: `[N, D_t]`, output: `[1]`, in nats
pub fn probabilistic_transfer(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let neighbours = |f: Tensor<2>| {
        let f = unit_rows(f);
        // Rounding can leave 1 + cos a little below 0.
        let closeness = (f.clone().matmul(f.transpose()) + 1.0).clamp_min(0.0);
        let sum = closeness.clone().sum_dim(1);
        closeness / sum
    };
    let p = neighbours(teacher.without_autodiff());
    let q = neighbours(student);
    let ratio = (p.clone() + EPSILON).log() - (q + EPSILON).log();
    (p * ratio).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device, matrix};

    /// `f f^T` is [1, 1; 1, 2] for the student and [5, 1; 1, 1] for the teacher; rows of length 1, then the mean
    /// square of the difference.
    #[test]
    fn similarities_by_the_formula() {
        let student = matrix(&[[1.0, 0.0], [1.0, 1.0]], &device());
        let teacher = matrix(&[[2.0, 1.0], [0.0, 1.0]], &device());
        assert_close(similarity_preserving(student, teacher), 0.109633);
    }

    /// By hand: cos = 1/sqrt(2) for the student and 0 for the teacher, so
    /// `p = [2/3, 1/3]`, `q = [.539500, .460500]` in the first row, mirrored in the second:
    /// `(2/3 log(.666667/.539500) + 1/3 log(.333333/.460500)) / 2`.
    #[test]
    fn neighbours_by_hand() {
        let student = matrix(&[[1.0, 0.0], [3.0, 3.0]], &device());
        let teacher = matrix(&[[0.0, 2.0], [5.0, 0.0]], &device());
        let q = 2.0 / (3.0 + 0.5_f64.sqrt());
        let expected =
            (2.0 / 3.0 * (2.0 / 3.0 / q).ln() + (1.0 / 3.0 / (1.0 - q)).ln() / 3.0) / 2.0;
        assert_close(probabilistic_transfer(student, teacher), expected);
    }

    #[test]
    fn the_length_of_embeddings_does_not_matter() {
        let x = matrix(&[[1.0, 0.3], [-0.4, 2.0], [0.0, 0.0]], &device());
        assert_close(probabilistic_transfer(x.clone() * 7.0, x.clone()), 0.0);
        assert_close(similarity_preserving(x.clone() * 7.0, x), 0.0);
    }
}
