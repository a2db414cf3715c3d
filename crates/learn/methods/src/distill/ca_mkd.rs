//! CA-MKD: teachers weighted by their cross-entropy with the label.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use offramp_kernels::global_avg_pool;
use offramp_losses::Targets;
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init, Linear, shrink};
use serde::{Deserialize, Serialize};

use super::several::{at_least_two, constant_logits, cross_entropies, divergences, weighted_mean};
use super::srrl::frozen;
use super::teacher_space::{classifiers_stand_alone, deepest_classifier};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`CaMkd`].
///
/// ```toml
/// [distill.ca-mkd]
/// loss = { name = "ca-mkd", temperature = 4.0, feature-weight = 50.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct CaMkdConfig {
    /// `T`.
    pub temperature: f64,
    /// `b`: weight of the feature term; 0: not computed.
    pub feature_weight: f64,
}

impl Default for CaMkdConfig {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            feature_weight: 50.0,
        }
    }
}

impl CaMkdConfig {
    /// Sets the distiller up, with an adapter to the width of every teacher's map.
    ///
    /// # Errors
    /// When a setting is out of range, or there are fewer than two teachers.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<CaMkd, MethodError> {
        let check = Check { method: "ca-mkd" };
        check.positive("temperature", self.temperature)?;
        check.weight("feature-weight", self.feature_weight)?;
        at_least_two("ca-mkd", info)?;
        let views = match self.feature_weight {
            0.0 => &[][..],
            _ => &info.teachers,
        };
        classifiers_stand_alone("ca-mkd", views)?;
        let channels = info.student.map.channels;
        let classifiers = (views.iter())
            .map(|view| frozen(&deepest_classifier(view.teacher.net()), init))
            .collect();
        let adapters = (views.iter())
            .map(|view| Adapter::new(channels, view.shape.map.channels, init))
            .collect();
        Ok(CaMkd {
            adapters,
            classifiers,
            config: self.clone(),
        })
    }
}

/// The weight of a teacher for a sample falls with its cross-entropy with the label; for the feature
/// term, with the cross-entropy of the student's features through that teacher's classifier. With the teachers' maps `f_k`, logits `z_k` and classifiers `W_k, b_k`, and
/// adapters `A_k` (1x1 convolution, batch norm, ReLU):
///
/// ```text
/// L = 1 / (N K) sum_kn w_kn KL_T(z_n || z_kn)
///   + b / (N K) sum_kn v_kn mean (A_k(f_n) - f_kn)^2
///     w_kn = (1 - softmax_k(CE(z_kn, y_n))) / (K - 1)
///     v_kn: the same with W_k pool(A_k(f_n)) + b_k in the place of z_kn
/// ```
///
/// Zhang, Chen and Wang, *Confidence-Aware Multi-Teacher Knowledge Distillation*, ICASSP 2022, as
/// in the public code (Rorozhl/CA-MKD): the second term is left out in the first epoch, and a
/// gradient flows through `v` but not through `w`. The larger of a teacher's map
/// and the student's is pooled to the size of the other (the code upsamples a smaller student's map).
/// For a sample without a label all teachers have the same weight.
#[derive(Module, Debug)]
pub struct CaMkd {
    adapters: Vec<Adapter>,
    /// The classifier of every teacher, frozen.
    classifiers: Vec<Linear>,
    #[module(skip)]
    config: CaMkdConfig,
}

/// Maps a student's map to a teacher's width.
#[derive(Module, Debug)]
struct Adapter {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl Adapter {
    fn new(channels: usize, width: usize, init: &mut Init) -> Self {
        Self {
            conv: Conv2dConfig::new(channels, width, 1).init(init),
            bn: BatchNorm2d::new(width, init),
        }
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        self.bn.forward_relu(self.conv.forward(map))
    }
}

impl CaMkd {
    /// The feature term, without `b`.
    fn features(&self, batch: &DistillBatch) -> Tensor<1> {
        let student = &batch.student.exit.map;
        let (mut logits, mut gaps) = (Vec::new(), Vec::new());
        let fixed = self.classifiers.iter().zip(&batch.teachers);
        for (adapter, (classifier, view)) in self.adapters.iter().zip(fixed) {
            let size = |map: &Tensor<4>| [map.dims()[2], map.dims()[3]];
            let taught = view.exit.map.clone().without_autodiff();
            let adapted = adapter.forward(shrink(student.clone(), size(&taught)));
            let teacher = shrink(taught, size(&adapted));
            let embedding = global_avg_pool(adapted.clone());
            logits.push(classifier.forward(embedding));
            let gap: Tensor<2> = (adapted - teacher).square().flatten(1, 3);
            gaps.push(gap.mean_dim(1).squeeze_dim::<1>(1));
        }
        weighted_mean(confidence(&logits, batch.targets), Tensor::stack(gaps, 0))
    }
}

impl Distiller for CaMkd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let teachers = constant_logits(batch);
        let student = &batch.student.exit.logits;
        let losses = divergences(student, &teachers, self.config.temperature);
        let weights = confidence(&teachers, batch.targets);
        let mut terms = LossTerms::single(weighted_mean(weights, losses));
        if !self.adapters.is_empty() {
            let weight = if batch.context.epoch < 1.0 {
                0.0
            } else {
                self.config.feature_weight
            };
            terms.push("feature", self.features(batch), weight);
        }
        terms
    }
}

/// `(1 - softmax_k(CE(z_kn, y_n))) / (K - 1)`, `[K, N]`.
fn confidence(logits: &[Tensor<2>], targets: &Targets) -> Tensor<2> {
    let doubt = softmax(cross_entropies(logits, targets), 0);
    (-doubt + 1.0) / (logits.len() as f64 - 1.0)
}
