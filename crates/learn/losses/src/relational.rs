//! Relations between the samples of a batch.

use burn::tensor::Tensor;

use crate::unit_rows::positive_sqrt;

/// `mean_ij h(d(s)_ij - d(t)_ij)` over all pairs of a batch, with the distances
/// `d(x)_ij = ||x_i - x_j|| / mu`, `mu` the mean distance of two different samples, and Huber's
/// `h(e) = e^2 / 2` for `|e| < 1`, else `|e| - 1/2`.
///
/// The distance-wise loss of Park et al., *Relational Knowledge Distillation*, CVPR 2019. The
/// mean counts the pairs `i = j` too, as in the authors' code. The teacher gets no gradient; a
/// batch of one sample has no distances and gives 0.
///
/// # Shapes
/// - `student`: `[N, D_s]`, `teacher`: `[N, D_t]`, output: `[1]`
pub fn relational_distance(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let distances = |x: Tensor<2>| {
        let [n, _] = x.dims();
        let squares = differences(x).square().sum_dim(2).reshape([n, n]);
        let distances = positive_sqrt(squares, 0.0);
        let mean = distances.clone().sum() / (n * n.saturating_sub(1)).max(1) as f64;
        let equal = mean.clone().without_autodiff().lower_equal_elem(0.0);
        distances / mean.mask_fill(equal, 1.0).reshape([1, 1])
    };
    huber(distances(student) - distances(teacher.without_autodiff())).mean()
}

/// `mean_ijk h(a(s)_ijk - a(t)_ijk)` over all triples of a batch, with the cosine
/// `a(x)_ijk = <u_ij, u_ik>`, `u_ij = (x_j - x_i) / ||x_j - x_i||` of the angle at `i`, and the
/// `h` of [`relational_distance`].
///
/// The angle-wise loss of the same paper. The mean counts triples with equal members too (their
/// cosine is 0 on both sides), as in the authors' code. It needs memory for `N^3` numbers. The
/// teacher gets no gradient.
///
/// # Shapes
/// - `student`: `[N, D_s]`, `teacher`: `[N, D_t]`, output: `[1]`
pub fn relational_angle(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let cosines = |x: Tensor<2>| {
        let d = differences(x);
        let lengths = positive_sqrt(d.clone().square().sum_dim(2), 1.0);
        let u = d / lengths;
        u.clone().matmul(u.swap_dims(1, 2))
    };
    huber(cosines(student) - cosines(teacher.without_autodiff())).mean()
}

/// `x_j - x_i`, `[N, N, D]`.
fn differences(x: Tensor<2>) -> Tensor<3> {
    x.clone().unsqueeze_dim::<3>(0) - x.unsqueeze_dim::<3>(1)
}

fn huber<const D: usize>(error: Tensor<D>) -> Tensor<D> {
    let size = error.abs();
    let inner = size.clone().clamp_max(1.0);
    inner.clone().square() * 0.5 + (size - inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_all_close, assert_close, device, matrix};

    #[test]
    fn hubers_function() {
        let x = Tensor::<1>::from_floats([-2.0, -0.5, 0.0, 1.0, 3.0], &device());
        assert_all_close(huber(x), &[1.5, 0.125, 0.0, 0.5, 2.5]);
    }

    #[test]
    fn turning_stretching_and_moving_change_nothing() {
        let x = matrix(&[[1.0, 0.3], [-0.4, 2.0], [0.7, -1.0]], &device());
        let turned = Tensor::from_floats([[0.0, 2.0], [-2.0, 0.0]], &device());
        let turned = x.clone().matmul(turned) + 5.0;
        assert_close(relational_distance(turned.clone(), x.clone()), 0.0);
        assert_close(relational_angle(turned, x), 0.0);
    }

    /// Three points on a line against a right angle. Distances: student 1, 1, 2 with mean 4/3,
    /// teacher 1, 1, sqrt(2) with mean (2 + sqrt 2) / 3. Cosines: the angle at the middle point
    /// is pi against pi/2, the others are 0 against pi/4; each stands twice.
    #[test]
    fn values_by_hand() {
        let device = device();
        let student = matrix(&[[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]], &device);
        let teacher = matrix(&[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], &device);
        let mu = (2.0 + 2.0_f64.sqrt()) / 3.0;
        let (near, far) = (0.75 - 1.0 / mu, 1.5 - 2.0_f64.sqrt() / mu);
        let expected = (4.0 * near * near / 2.0 + 2.0 * far * far / 2.0) / 9.0;
        assert_close(
            relational_distance(student.clone(), teacher.clone()),
            expected,
        );
        let acute = 1.0 - 0.5_f64.sqrt();
        let expected = (2.0 * 0.5 + 4.0 * acute * acute / 2.0) / 27.0;
        assert_close(relational_angle(student, teacher), expected);
    }

    #[test]
    fn equal_samples_and_a_single_one_are_finite() {
        for rows in [&[[1.0, 2.0], [1.0, 2.0]][..], &[[1.0, 2.0]]] {
            let x = matrix(rows, &device()).require_grad();
            let target = x.clone() * 2.0;
            let loss = relational_distance(x.clone(), target.clone())
                + relational_angle(x.clone(), target);
            assert_close(loss.clone(), 0.0);
            let gradient = x.grad(&loss.backward()).unwrap();
            assert!(gradient.is_finite().all().into_scalar::<bool>());
        }
    }
}
