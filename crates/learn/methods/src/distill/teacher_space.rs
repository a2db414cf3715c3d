//! Exits that are projected into the feature space of their teachers, for SimKD and ATSC.

use burn::tensor::Tensor;
use offramp_heads::{MultiExitNet, ProjectorHead};
use offramp_nn::{Linear, shrink};

use super::{DistillInfo, TeacherInfo};
use crate::MethodError;

/// The channels of every teacher's map; those of a student's exit are as many, in this order.
#[derive(Clone, Debug)]
pub(super) struct TeacherSpace {
    widths: Vec<usize>,
}

impl TeacherSpace {
    /// The teachers' space, if the projectors of the student's exit lead there.
    pub(crate) fn new(method: &'static str, info: &DistillInfo) -> Result<Self, MethodError> {
        if !info.net.cascade.is_none() {
            return Err(MethodError::SharedInCascade {
                method,
                cascade: info.net.cascade.name(),
            });
        }
        classifiers_stand_alone(method, &info.teachers)?;
        let widths: Vec<usize> = (info.teachers.iter())
            .map(|teacher| teacher.shape.map.channels)
            .collect();
        match problem(info, &widths) {
            None => Ok(Self { widths }),
            Some(problem) => Err(MethodError::Head {
                method,
                problem,
                head: fitting_head(&info.teachers),
            }),
        }
    }

    /// `mean_k mean (P_k - pool(f_k))^2` over all elements, where a teacher's map that is larger
    /// than the student's is pooled down. A gradient flows into both sides.
    ///
    /// # Shapes
    /// - `student`: `[N, sum of widths, H, W]`, teachers: `[N, width, >= H, >= W]`, output: `[1]`
    pub(crate) fn distance(&self, student: &Tensor<4>, teachers: Vec<Tensor<4>>) -> Tensor<1> {
        let [_, _, h, w] = student.dims();
        let mut first = 0;
        let distances = (self.widths.iter().zip(teachers)).map(|(&width, teacher)| {
            let projected = match self.widths.len() {
                1 => student.clone(),
                _ => student.clone().narrow(1, first, width),
            };
            first += width;
            (projected - shrink(teacher, [h, w])).square().mean()
        });
        mean(distances.collect())
    }

    /// Weight and bias of the linear layer that gives the mean of the teachers' logits from their
    /// joined embeddings: `[W_1/K ... W_K/K]` and `mean_k b_k`.
    ///
    /// # Shapes
    /// - outputs: `[classes, sum of widths]`, `[classes]`
    pub(crate) fn classifier<'a>(
        &self,
        nets: impl Iterator<Item = &'a MultiExitNet>,
    ) -> (Tensor<2>, Tensor<1>) {
        let share = 1.0 / self.widths.len() as f64;
        let scaled = |net: &MultiExitNet| {
            let fc = deepest_classifier(net);
            let weight = fc.weight.val().without_autodiff();
            let bias = match &fc.bias {
                Some(bias) => bias.val().without_autodiff(),
                None => Tensor::zeros([weight.dims()[0]], &weight.device()),
            };
            match share {
                1.0 => (weight, bias),
                _ => (weight * share, bias * share),
            }
        };
        let (weights, biases): (Vec<_>, Vec<_>) = nets.map(scaled).unzip();
        let bias = biases.into_iter().reduce(|sum, bias| sum + bias);
        let bias = bias.expect("a distiller that takes all teachers has one");
        (Tensor::cat(weights, 1), bias)
    }
}

/// The linear layer of a network's deepest exit.
pub(super) fn deepest_classifier(net: &MultiExitNet) -> Linear {
    net.classifier(net.num_exits() - 1)
}

/// Refuses teachers whose deepest exit does not end with a linear layer, or adds the answer of another
/// exit to what that says.
pub(super) fn classifiers_stand_alone(
    method: &'static str,
    teachers: &[TeacherInfo],
) -> Result<(), MethodError> {
    let linked = teachers.iter().map(|info| info.teacher).find(|teacher| {
        let net = teacher.net();
        net.is_linked(net.num_exits() - 1)
    });
    if let Some(teacher) = linked {
        return Err(MethodError::LinkedTeacher {
            method,
            teacher: teacher.name().to_owned(),
        });
    }
    let other = teachers.iter().map(|info| info.teacher).find(|teacher| {
        let net = teacher.net();
        !net.has_classifier(net.num_exits() - 1)
    });
    match other {
        Some(teacher) => Err(MethodError::NoClassifier {
            method,
            teacher: teacher.name().to_owned(),
        }),
        None => Ok(()),
    }
}

/// The mean of the terms of all teachers.
pub(super) fn mean(terms: Vec<Tensor<1>>) -> Tensor<1> {
    match terms.len() {
        0 | 1 => Tensor::cat(terms, 0),
        _ => Tensor::cat(terms, 0).mean(),
    }
}

fn problem(info: &DistillInfo, widths: &[usize]) -> Option<String> {
    let (exit, map) = (info.exit, info.student.map);
    let Some(head) = info.net.head.kind::<ProjectorHead>() else {
        return Some(format!("exit {exit} has no projector"));
    };
    let found = if head.width.is_empty() {
        &[map.channels][..]
    } else {
        &head.width
    };
    if found != widths {
        return Some(format!(
            "the maps of the teachers have {widths:?} channels, the projectors of exit {exit} lead \
             to {found:?}"
        ));
    }
    let small = info.teachers.iter().find(|teacher| {
        let theirs = teacher.shape.map;
        theirs.height < map.height || theirs.width < map.width
    });
    small.map(|teacher| {
        format!(
            "teacher {:?} has a map of {}x{}, and that of exit {exit} is larger, {}x{}",
            teacher.teacher.name(),
            teacher.shape.map.height,
            teacher.shape.map.width,
            map.height,
            map.width
        )
    })
}

fn fitting_head(teachers: &[TeacherInfo]) -> String {
    let names: Vec<String> = (teachers.iter())
        .map(|teacher| format!("{:?}", teacher.teacher.name()))
        .collect();
    match names.as_slice() {
        [name] => format!("{{ name = \"projector\", teacher = {name} }}"),
        names => format!(
            "{{ name = \"projector\", teacher = [{}] }}",
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    /// `mean (P(f_s) - f_t)^2` with `P(f_s) = [1, 0]` and `f_t = [2, -1]` is 1; its gradient in `f_t` is [1, -1].
    #[test]
    fn the_gradient_reaches_both_sides() {
        let device = default_device().unwrap().autodiff();
        let map = |values: [f32; 2]| {
            let map = Tensor::<1>::from_floats(values, &device).reshape([1, 2, 1, 1]);
            map.require_grad()
        };
        let (student, teacher) = (map([1.0, 0.0]), map([2.0, -1.0]));
        let space = TeacherSpace { widths: vec![2] };
        let loss = space.distance(&student, vec![teacher.clone()]);
        assert_eq!(loss.clone().into_scalar::<f32>(), 1.0);
        let gradients = loss.backward();
        let values = |x: Tensor<4>| -> Vec<f32> { x.into_data().try_to_vec().unwrap() };
        assert_eq!(values(teacher.grad(&gradients).unwrap()), [1.0, -1.0]);
        assert_eq!(values(student.grad(&gradients).unwrap()), [-1.0, 1.0]);
    }
}
