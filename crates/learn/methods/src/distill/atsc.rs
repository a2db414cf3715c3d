//! ATSC: the teacher adapts to its student, and both share a classifier.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use offramp_core::ExitOutput;
use offramp_core::params::Path;
use offramp_heads::MultiExitNet;
use offramp_kernels::linear;
use offramp_losses::{Targets, cross_entropy};
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;
use serde::{Deserialize, Serialize};

use super::teacher_space::{TeacherSpace, deepest_classifier, mean};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Atsc`].
///
/// ```toml
/// [model]
/// head = { name = "projector", teacher = "resnet56" }
///
/// [method]
/// name = "plain"
/// ce-weights = [0]
///
/// [distill.atsc]
/// loss = { name = "atsc", pull = 1.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct AtscConfig {
    /// `w`, the weight of the term that keeps the teacher near its trained weights. It is a sum over
    /// weights, so the right value depends on the teacher's size: 1 for CIFAR's, 10 for ImageNet's.
    pub pull: f64,
    /// As in the public code: cross-entropy trains the bias of the classifier only, its weight is part
    /// of the pull, and batch norms and biases are not.
    pub released: bool,
}

impl Default for AtscConfig {
    fn default() -> Self {
        Self {
            pull: 1.0,
            released: false,
        }
    }
}

impl AtscConfig {
    /// Sets the distiller up with copies of its teachers, which are trained.
    ///
    /// # Errors
    /// When the pull is negative, or the exit has no projector into the space of the teachers.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<Atsc, MethodError> {
        Check { method: "atsc" }.weight("pull", self.pull)?;
        let space = TeacherSpace::new("atsc", info)?;
        let origins: Vec<_> = (info.teachers.iter())
            .map(|info| info.teacher.clone())
            .collect();
        let first = |teacher: &ExternalTeacher| {
            let net = teacher.net();
            if self.released {
                return parameters(net, |axes, _| axes > 1);
            }
            let fc = deepest_classifier(net);
            let shared = [Some(fc.weight.id), fc.bias.as_ref().map(|bias| bias.id)];
            parameters(net, |_, id| !shared.contains(&Some(id)))
        };
        let learner = |teacher: &ExternalTeacher| {
            let net = teacher.net().clone().to_device(init.device());
            net.train().set_require_grad(true)
        };
        Ok(Atsc {
            teachers: origins.iter().map(learner).collect(),
            first: origins.iter().map(first).collect(),
            origins,
            space,
            config: self.clone(),
        })
    }
}

/// SimKD with a teacher that is trained too: its features move towards the student's, a pull keeps its
/// weights `theta` near the trained ones `theta_0`, and cross-entropy trains the classifier `W, b` that
/// both use. With the teacher's map `f_t` in training (statistics of the batch), its
/// embedding `e_t`, and `P` and the pooling of [`SimKd`](super::SimKd):
///
/// ```text
/// L = mean (P(pool(f_s)) - pool(f_t))^2
///   + w sum over all parameters but W and b of |theta - theta_0|^2
///   + CE(W sg(e_t) + b, y)
/// z = W mean over positions of P(pool(f_s)) + b
/// ```
///
/// Without the pull there is a trivial solution: both maps constant. The public code leaves batch
/// norms and biases out of it (`released`), and the maps do shrink to nothing through their
/// scales. Jang et al., *Adaptive Teaching with a Shared Classifier for Knowledge Distillation*,
/// arXiv 2406.08528, 2024.
///
/// The public code alternates: a step on the first two terms, a second pass of the teacher, a
/// step on the third. Here all three share a pass and a step. With several teachers, which the public
/// code does not have, terms and logits are means over the teachers.
#[derive(Module, Debug)]
pub struct Atsc {
    /// The adapted teachers; copies of the trained ones at the start.
    teachers: Vec<MultiExitNet>,
    /// The trained teachers, for their normalisation of images.
    #[module(skip)]
    origins: Vec<ExternalTeacher>,
    /// `theta_0` by name, flat, for the parameters that are pulled.
    #[module(skip)]
    first: Vec<BTreeMap<String, Tensor<1>>>,
    #[module(skip)]
    space: TeacherSpace,
    #[module(skip)]
    config: AtscConfig,
}

impl Atsc {
    /// The adapted teachers.
    pub fn teachers(&self) -> &[MultiExitNet] {
        &self.teachers
    }

    /// Cross-entropy of the shared classifier on a teacher's detached features.
    fn classification(
        &self,
        teacher: &MultiExitNet,
        exit: &ExitOutput,
        targets: &Targets,
    ) -> Tensor<1> {
        let fc = deepest_classifier(teacher);
        let weight = if self.config.released {
            fc.weight.val().detach()
        } else {
            fc.weight.val()
        };
        let embedding = exit.embedding.clone().detach();
        let logits = linear(embedding, weight, fc.bias.as_ref().map(Param::val));
        cross_entropy(logits, targets)
    }
}

impl Distiller for Atsc {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let exits: Vec<ExitOutput> = (self.teachers.iter().zip(&self.origins))
            .filter_map(|(teacher, origin)| {
                let images = origin.renormalised(batch.images.clone());
                let images = if batch.images.is_autodiff() {
                    images.autodiff()
                } else {
                    images
                };
                teacher.forward(images).exits.pop()
            })
            .collect();
        let maps = exits.iter().map(|exit| exit.map.clone()).collect();
        let pulls = (self.teachers.iter().zip(&self.first))
            .filter_map(|(teacher, first)| pull(teacher, first))
            .collect();
        let classified = (self.teachers.iter().zip(&exits))
            .map(|(teacher, exit)| self.classification(teacher, exit, batch.targets))
            .collect();
        let student = &batch.student.exit.map;
        let mut terms = LossTerms::single(self.space.distance(student, maps));
        terms.push("pull", mean(pulls), self.config.pull);
        terms.push("ce", mean(classified), 1.0);
        terms
    }

    fn share(&self, exit: usize, student: MultiExitNet) -> MultiExitNet {
        let (weight, bias) = self.space.classifier(self.teachers.iter());
        student.with_classifier(exit, weight, bias)
    }
}

/// The parameters by name, flat, for which `wanted` accepts the number of axes and the identity.
fn parameters<M: Module>(
    module: &M,
    wanted: impl Fn(usize, ParamId) -> bool,
) -> BTreeMap<String, Tensor<1>> {
    let mut found = BTreeMap::new();
    module.visit(&mut Parameters {
        path: Path::default(),
        see: |name: String, axes, id, value: Tensor<1>| {
            if wanted(axes, id) {
                found.insert(name, value.without_autodiff());
            }
        },
    });
    found
}

/// `sum |theta - theta_0|^2` over the tensors that `first` names; none when it names none.
fn pull<M: Module>(module: &M, first: &BTreeMap<String, Tensor<1>>) -> Option<Tensor<1>> {
    let mut squares = Vec::new();
    module.visit(&mut Parameters {
        path: Path::default(),
        see: |name: String, _, _, value: Tensor<1>| {
            if let Some(first) = first.get(&name) {
                squares.push((value - first.clone()).square().sum());
            }
        },
    });
    if squares.is_empty() {
        return None;
    }
    Some(Tensor::cat(squares, 0).sum())
}

/// Calls `see` with every parameter: name, number of axes, identity and values. Running statistics are
/// not parameters.
struct Parameters<F> {
    path: Path,
    see: F,
}

impl<F: FnMut(String, usize, ParamId, Tensor<1>)> ModuleVisitor for Parameters<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        if !name.contains("running_") {
            (self.see)(name, D, param.id, param.val().reshape([-1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use offramp_core::default_device;
    use offramp_nn::Linear;

    fn layer(weight: [[f32; 2]; 2], device: &Device) -> Linear {
        Linear {
            weight: Param::from_data(weight, device),
            bias: Some(Param::from_data([5.0, 6.0], device)),
        }
    }

    /// `sum (theta - theta_0)^2` in the released form, without biases: `0.1^2 + 0.2^2`, with the gradient
    /// `2 (theta - theta_0)`.
    #[test]
    fn the_pull_is_a_sum_of_squares() {
        let device = default_device().unwrap().autodiff();
        let first = layer([[1.0, 2.0], [0.0, 1.0]], &device);
        let mut now = layer([[1.1, 2.0], [-0.2, 1.0]], &device);
        now.bias = Some(Param::from_data([0.0, 0.0], &device));
        let theta_0 = parameters(&first, |axes, _| axes > 1);
        assert_eq!(theta_0.keys().collect::<Vec<_>>(), ["weight"]);
        let value = pull(&now, &theta_0).unwrap();
        assert!((value.clone().into_scalar::<f32>() - 0.05).abs() < 1e-6);
        let gradients = value.backward();
        let gradient = now.weight.val().grad(&gradients).unwrap();
        let gradient: Vec<f32> = gradient.into_data().try_to_vec().unwrap();
        for (found, expected) in gradient.iter().zip([0.2, 0.0, -0.4, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?}");
        }
        assert!(pull(&now, &BTreeMap::new()).is_none());
        // With the biases 5 and 6, which are 0 now: 0.05 + 25 + 36.
        let value = pull(&now, &parameters(&first, |_, _| true)).unwrap();
        assert!((value.into_scalar::<f32>() - 61.05).abs() < 1e-4);
    }
}
