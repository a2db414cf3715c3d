//! Contrastive representation distillation.

use burn::module::Module;
use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData};
use offramp_losses::{contrastive, unit_rows};
use offramp_nn::{Buffer, Init, Linear};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::adapt::beside;
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError, StepContext};

/// Settings of [`Crd`].
///
/// ```toml
/// [distill.crd]
/// loss = { name = "crd", negatives = 16384, temperature = 0.07 }
/// weight = 0.8
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct CrdConfig {
    /// Width of the common space.
    pub dim: usize,
    /// `K`, the number of negatives that are drawn in a step.
    pub negatives: usize,
    /// `tau`.
    pub temperature: f64,
    /// Momentum of the memory bank: the share of an entry that stays when its image is in a batch.
    pub momentum: f64,
}

impl Default for CrdConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            negatives: 16384,
            temperature: 0.07,
            momentum: 0.5,
        }
    }
}

impl CrdConfig {
    /// Sets the distiller up, with randomly initialised memory banks.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<Crd, MethodError> {
        let check = Check { method: "crd" };
        check.value("dim", self.dim as f64, "at least 1", self.dim >= 1)?;
        let negatives = self.negatives as f64;
        check.value("negatives", negatives, "at least 1", self.negatives >= 1)?;
        check.positive("temperature", self.temperature)?;
        check.share("momentum", self.momentum)?;
        let images = info.train_images.max(1);
        let teacher = info.teachers[0].shape.map.channels;
        let side = |width: usize, init: &mut Init| {
            // The entries' variance is 1 / dim, so that their length is about 1.
            let bound = (3.0 / self.dim as f64).sqrt();
            Side {
                embed: Linear::new(width, self.dim, init),
                bank: Buffer::new(init.uniform([images, self.dim], bound).val()),
                scale: Buffer::new(Tensor::zeros([1], init.device())),
            }
        };
        Ok(Crd {
            student: side(info.student.map.channels, init),
            teacher: side(teacher, init),
            classes: Buffer::new(Tensor::full([images], -1.0, init.device())),
            config: self.clone(),
        })
    }
}

/// The embeddings of an image in student and teacher are to match, and to differ from those of other
/// images.
///
/// ```text
/// L    = L(v_s, M_t) + L(v_t, M_s)        v = A f / ||A f|| in `dim` dimensions, A trained
/// L(v, M) = -mean_n [ log h(v_n . M_n) + sum_k log (1 - h(v_n . M_k)) ]      k over K negatives
/// h(x) = P / (P + K / N),  P = exp(x / tau) / Z
/// ```
///
/// `M` is a memory bank with an embedding per training image; after each step the entries of the batch
/// become `unit(momentum M + (1 - momentum) v)`. `Z` is a constant per direction, fixed at the first
/// batch so that the mean of `P` is `1 / N`.
///
/// The negatives are drawn uniformly, with replacement, by a generator that depends on seed and step
/// only, so that a resumed run draws the same. One draw serves the whole batch: a matrix product
/// instead of a gather per sample as in the released code, which needs more memory. Images of the
/// anchor's class are not negatives; they are left out and the others are weighted so that they sum to
/// `K`. Where a class is not known (no label, or an image that was in no batch yet), only the anchor's
/// own image is left out. The first label of a mixed image counts.
///
/// Tian, Krishnan and Isola, *Contrastive Representation Distillation*, ICLR 2020. Weight 0.8
/// beside a cross-entropy of 1 in the authors' code.
#[derive(Module, Debug)]
pub struct Crd {
    student: Side,
    teacher: Side,
    /// Class of every training image, -1 = not known, `[N]`.
    classes: Buffer<1>,
    #[module(skip)]
    config: CrdConfig,
}

/// The embedding and memory bank of one of the two networks.
#[derive(Module, Debug)]
struct Side {
    embed: Linear,
    /// `[N, dim]`.
    bank: Buffer<2>,
    /// `Z` for anchors of this network, 0 before the first batch, `[1]`.
    scale: Buffer<1>,
}

impl Side {
    fn embed(&self, embedding: Tensor<2>) -> Tensor<2> {
        unit_rows(self.embed.forward(embedding))
    }

    /// Moves the given entries of the memory bank towards `v`.
    fn remember(&self, indices: &Tensor<1, Int>, v: Tensor<2>, momentum: f64) {
        self.bank.update(|bank| {
            let old = bank.clone().select(0, indices.clone());
            let new = unit_rows(old.clone() * momentum + v.detach() * (1.0 - momentum));
            bank.select_assign(0, indices.clone(), new - old, IndexingUpdateOp::Add)
        });
    }
}

impl Crd {
    /// The `K` negatives of a step, as indices of training images.
    pub fn negatives(&self, context: &StepContext) -> Vec<usize> {
        let [images] = self.classes.value().dims();
        let mut rng = ChaCha8Rng::seed_from_u64(context.seed);
        rng.set_stream(context.step);
        let draws = (0..self.config.negatives).map(|_| rng.random_range(0..images));
        draws.collect()
    }

    /// The weight of each drawn image for each anchor, `[N, K]`: 0 where it is not a negative; each row
    /// sums to `K`.
    fn weights(&self, batch: &DistillBatch, drawn: &Tensor<1, Int>) -> Tensor<2> {
        let (n, k) = (batch.indices.len(), self.config.negatives);
        let classes = self.classes.value().detach();
        let dtype = FloatDType::from(classes.dtype());
        let labels = batch.targets.labels.clone().float().cast(dtype);
        let labels = labels.reshape([n, 1]).expand([n, k]);
        let classes = classes.select(0, drawn.clone()).reshape([1, k]);
        let alike =
            (classes.expand([n, k]).equal(labels.clone())).bool_and(labels.greater_equal_elem(0.0));
        let indices = integers(batch.indices.iter().copied(), drawn);
        let indices = indices.reshape([n, 1]).expand([n, k]);
        let same = indices.equal(drawn.clone().reshape([1, k]).expand([n, k]));
        let kept = alike.bool_or(same).bool_not().float().cast(dtype);
        let count = kept.clone().sum_dim(1);
        let none = count.clone().equal_elem(0.0);
        kept * (count.mask_fill(none, 1.0).recip() * k as f64)
    }

    /// `L(v, M)` with the memory bank of the other network.
    fn contrast(
        &self,
        v: Tensor<2>,
        [own, other]: [&Side; 2],
        [indices, drawn]: [&Tensor<1, Int>; 2],
        weights: Tensor<2>,
    ) -> Tensor<1> {
        let [n, _] = v.dims();
        let (k, tau) = (self.config.negatives, self.config.temperature);
        let bank = other.bank.value();
        let [all, _] = bank.dims();
        let right = bank.clone().select(0, indices.clone());
        let right = (v.clone() * right).sum_dim(1) / tau;
        let wrong = v.matmul(bank.select(0, drawn.clone()).transpose()) / tau;

        own.scale.update(|scale| {
            let sum = right.clone().detach().exp().sum()
                + (wrong.clone().detach().exp() * weights.clone()).sum();
            let first = sum * (all as f64 / (n * (k + 1)) as f64);
            let unset = scale.clone().equal_elem(0.0);
            scale.mask_where(unset, first)
        });
        let log_scale = own.scale.value().log().reshape([1, 1]);
        let odds = k as f64 / all as f64;
        contrastive(right - log_scale.clone(), wrong - log_scale, weights, odds)
    }
}

impl Distiller for Crd {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let embedding = batch.student.exit.embedding.clone();
        let teacher_embedding = beside(&batch.teachers[0].exit.embedding, &embedding);
        let like = batch.targets.labels.clone();
        let indices = integers(batch.indices.iter().copied(), &like);
        let drawn = integers(self.negatives(batch.context).into_iter(), &like);
        let weights = self.weights(batch, &drawn);
        let (student, teacher) = (&self.student, &self.teacher);
        let places = [&indices, &drawn];
        let v = student.embed(embedding);
        let of_student = self.contrast(v, [student, teacher], places, weights.clone());
        let v = teacher.embed(teacher_embedding);
        let of_teacher = self.contrast(v, [teacher, student], places, weights);
        LossTerms::single(of_student + of_teacher)
    }

    fn after_step(&mut self, batch: &DistillBatch) {
        // The entry of an image that is twice in a batch moves once.
        let first = |&(at, index): &(usize, &usize)| !batch.indices[..at].contains(index);
        let (places, indices): (Vec<usize>, Vec<usize>) =
            batch.indices.iter().enumerate().filter(first).unzip();
        let labels = &batch.targets.labels;
        let places = integers(places.into_iter(), labels);
        let indices = integers(indices.into_iter(), labels);
        let momentum = self.config.momentum;
        let embedding = batch.student.exit.embedding.clone().detach();
        let teacher_embedding = beside(&batch.teachers[0].exit.embedding, &embedding);
        for (side, f) in [
            (&self.student, embedding),
            (&self.teacher, teacher_embedding),
        ] {
            let v = side.embed(f.select(0, places.clone()));
            side.remember(&indices, v, momentum);
        }
        self.classes.update(|classes| {
            let dtype = FloatDType::from(classes.dtype());
            let new = labels.clone().select(0, places).float().cast(dtype);
            let old = classes.clone().select(0, indices.clone());
            classes.select_assign(0, indices, new - old, IndexingUpdateOp::Add)
        });
    }
}

/// Indices as a tensor on the device of `like`.
fn integers(values: impl ExactSizeIterator<Item = usize>, like: &Tensor<1, Int>) -> Tensor<1, Int> {
    let values: Vec<i64> = values.map(|value| value as i64).collect();
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), &like.device())
}
