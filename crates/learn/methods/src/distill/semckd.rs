//! Cross-layer distillation with semantic calibration.

use burn::module::Module;
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Bool, Tensor};
use offramp_losses::unit_rows;
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init, Linear};
use serde::{Deserialize, Serialize};

use super::adapt::{beside, to_smaller};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`SemCkd`].
///
/// ```toml
/// [distill.semckd]
/// loss = { name = "semckd", temperature = 1.0 }
/// weight = 400.0
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SemCkdConfig {
    /// What the products of queries and keys are divided by.
    pub temperature: f64,
    /// Queries and keys have this part of the batch size as their width.
    pub reduction: usize,
}

impl Default for SemCkdConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            reduction: 4,
        }
    }
}

impl SemCkdConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<SemCkd, MethodError> {
        let check = Check { method: "semckd" };
        check.positive("temperature", self.temperature)?;
        let reduction = self.reduction as f64;
        check.value("reduction", reduction, "at least 1", self.reduction >= 1)?;
        let (student, teacher) = (&info.student.stages, &info.teachers[0].shape.stages);
        let width = (info.batch_size / self.reduction).max(1);
        let mut embeds = |count: usize| -> Vec<Embed> {
            let embed = |_| Embed::new(info.batch_size, width, init);
            (0..count).map(embed).collect()
        };
        let (queries, keys) = (embeds(student.len()), embeds(teacher.len()));
        let pairs = student
            .iter()
            .flat_map(|s| teacher.iter().map(move |t| (s, t)));
        let projections = pairs.map(|(s, t)| Projection::new(s.channels, t.channels, init));
        Ok(SemCkd {
            projections: projections.collect(),
            queries,
            keys,
            batch_size: info.batch_size,
            config: self.clone(),
        })
    }
}

/// Every stage of the student learns from all stages of the teacher, with weights per image: most from the
/// stages with the most similar relations between the images of the batch.
///
/// ```text
/// L    = 1 / (N S) sum_nij A_nij mean_chw (P_ij(f_i) - t_j)^2        i of S stages of the student
/// A_ni = softmax_j (q_i(f_i f_i^T)_n . k_j(t_j t_j^T)_n / T)         j of the teacher's stages
/// q, k = Linear, ReLU, Linear, unit length                           P = 1x1, BN, ReLU, 3x3, BN, ReLU, 1x1
/// ```
///
/// The larger map of a pair is pooled to the smaller; `P` has twice the teacher's channels
/// within. All layers are trained.
///
/// A row of `f f^T` is as long as the batch, so queries and keys fit one batch size: **a batch
/// of another size, as the last of an epoch may be, gives a term of 0** and trains by the
/// remaining losses (the released code skips it whole). `drop-last = true` avoids it.
///
/// Chen et al., *Cross-Layer Distillation with Semantic Calibration*, AAAI 2021, in the form of
/// the SimKD toolbox: weight 400 beside cross-entropy and KD of 1 each.
#[derive(Module, Debug)]
pub struct SemCkd {
    queries: Vec<Embed>,
    keys: Vec<Embed>,
    /// Pair `(i, j)` at place `i T + j`, with `T` stages of the teacher.
    projections: Vec<Projection>,
    batch_size: usize,
    #[module(skip)]
    config: SemCkdConfig,
}

/// Query or key of a stage.
#[derive(Module, Debug)]
struct Embed {
    linear1: Linear,
    linear2: Linear,
}

impl Embed {
    fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            linear1: Linear::new(inputs, 2 * outputs, init),
            linear2: Linear::new(2 * outputs, outputs, init),
        }
    }

    /// `[N, C, H, W]` to `[N, E]`, rows of length 1.
    fn forward(&self, map: Tensor<4>) -> Tensor<2> {
        let f = map.flatten::<2>(1, 3);
        let similarities = f.clone().matmul(f.transpose());
        let x = relu(self.linear1.forward(similarities));
        unit_rows(self.linear2.forward(x))
    }
}

/// A stage of the student in the channels of a stage of the teacher.
#[derive(Module, Debug)]
struct Projection {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
}

impl Projection {
    fn new(student: usize, teacher: usize, init: &mut Init) -> Self {
        let middle = 2 * teacher;
        Self {
            conv1: Conv2dConfig::new(student, middle, 1).init(init),
            bn1: BatchNorm2d::new(middle, init),
            conv2: Conv2dConfig::new(middle, middle, 3).init(init),
            bn2: BatchNorm2d::new(middle, init),
            conv3: Conv2dConfig::new(middle, teacher, 1).init(init),
        }
    }

    /// `mean_chw (P(f) - t)^2` of every sample, `[N, 1]`.
    fn errors(&self, student: Tensor<4>, teacher: Tensor<4>) -> Tensor<2> {
        let (f, target) = to_smaller(student, teacher);
        let x = self.bn1.forward_relu(self.conv1.forward(f));
        let x = self.bn2.forward_relu(self.conv2.forward(x));
        let gap = self.conv3.forward(x) - target;
        gap.square().flatten::<2>(1, 3).mean_dim(1)
    }
}

impl SemCkd {
    /// `A` of one query, `[N, T]`.
    fn attention(&self, query: Tensor<2>, keys: &[Tensor<2>]) -> Tensor<2> {
        let products = keys
            .iter()
            .map(|key| (query.clone() * key.clone()).sum_dim(1));
        softmax(
            Tensor::cat(products.collect(), 1) / self.config.temperature,
            1,
        )
    }
}

impl Distiller for SemCkd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let (student, teacher) = (batch.student.stages, batch.teachers[0].stages);
        let [samples, ..] = student[0].dims();
        if samples != self.batch_size {
            // Still a function of the student, whatever else there is to learn.
            let logits = batch.student.exit.logits.clone();
            let all = Tensor::<2, Bool>::full(logits.dims(), true, &logits.device());
            return LossTerms::single(logits.mask_fill(all, 0.0).sum());
        }
        let teacher: Vec<_> = teacher.iter().map(|map| beside(map, &student[0])).collect();
        let keys = self.keys.iter().zip(&teacher);
        let keys: Vec<_> = keys.map(|(key, map)| key.forward(map.clone())).collect();
        let rows = student.iter().zip(self.projections.chunks(teacher.len()));
        let losses = rows.zip(&self.queries).map(|((f, projections), query)| {
            let attention = self.attention(query.forward(f.clone()), &keys);
            let pairs = projections.iter().zip(&teacher);
            let errors = pairs.map(|(project, map)| project.errors(f.clone(), map.clone()));
            (attention * Tensor::cat(errors.collect(), 1)).sum()
        });
        let sum = losses.reduce(|sum, loss| sum + loss);
        let sum = sum.expect("a network has a stage");
        LossTerms::single(sum / (samples * student.len()) as f64)
    }
}
