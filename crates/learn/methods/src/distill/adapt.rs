//! Shared by the distillers of feature maps: pairing of stages, and maps of one size.

use burn::tensor::Tensor;
use offramp_core::MapShape;
use offramp_nn::shrink;

/// Pairs of stages of two networks, by relative depth: as many pairs as the network
/// with fewer stages has. Pair `k` of `m` is stage `round(k S / m)` of `S`, counted from 1, on
/// either side; with equal numbers of stages each is paired with its counterpart, and the last always
/// with the last.
pub(super) fn stage_pairs(students: usize, teachers: usize) -> Vec<(usize, usize)> {
    let pairs = students.min(teachers);
    let at = |k: usize, stages: usize| (2 * k * stages + pairs) / (2 * pairs) - 1;
    (1..=pairs)
        .map(|k| (at(k, students), at(k, teachers)))
        .collect()
}

/// The stage of `teachers` at the relative depth of stage `student` of `students`.
pub(super) fn teacher_stage(student: usize, students: usize, teachers: usize) -> usize {
    let depth = (2 * (student + 1) * teachers + students) / (2 * students);
    depth.max(1) - 1
}

/// The smaller height and the smaller width of two maps.
pub(super) fn smaller(a: &MapShape, b: &MapShape) -> [usize; 2] {
    [a.height.min(b.height), a.width.min(b.width)]
}

/// Both maps at the smaller height and the smaller width of the two.
///
/// # Shapes
/// - `a`: `[N, C_a, H_a, W_a]`, `b`: `[N, C_b, H_b, W_b]`
pub(super) fn to_smaller(a: Tensor<4>, b: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let ([_, _, height_a, width_a], [_, _, height_b, width_b]) = (a.dims(), b.dims());
    let size = [height_a.min(height_b), width_a.min(width_b)];
    (shrink(a, size), shrink(b, size))
}

/// A teacher's tensor as a constant on the autodiff backend where the student's is on it, so that
/// layers applied to it behave as in training.
pub(super) fn beside<const D: usize>(teacher: &Tensor<D>, student: &Tensor<D>) -> Tensor<D> {
    let constant = teacher.clone().detach();
    if student.is_autodiff() {
        constant.autodiff()
    } else {
        constant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_pair_up_by_relative_depth() {
        assert_eq!(stage_pairs(3, 3), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(stage_pairs(3, 4), [(0, 0), (1, 2), (2, 3)]);
        assert_eq!(stage_pairs(4, 3), [(0, 0), (2, 1), (3, 2)]);
        assert_eq!(stage_pairs(1, 3), [(0, 2)]);
        assert_eq!(stage_pairs(2, 4), [(0, 1), (1, 3)]);
        let partners = |students, teachers| {
            let stages = 0..students;
            stages
                .map(move |s| teacher_stage(s, students, teachers))
                .collect::<Vec<_>>()
        };
        assert_eq!(partners(3, 4), [0, 2, 3]);
        assert_eq!(partners(4, 3), [0, 1, 1, 2]);
        assert_eq!(partners(6, 1), [0; 6]);
    }
}
