//! Ensembles of the exits with trained weights: those of MATE-R and of MLCSD-Net.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use offramp_core::ExitOutputs;
use offramp_nn::{Init, Linear};

use crate::teacher::rows;
use crate::{Level, Teacher};

/// Convex weights of `R` teachers over `K` exits.
#[derive(Clone, Debug)]
pub enum Mixture {
    /// The same weights for every sample, `[R, K]`.
    Fixed(Tensor<2>),
    /// Weights for every sample, `[N, R, K]`.
    PerSample(Tensor<3>),
}

impl Mixture {
    /// Mixes the exits: `e_rn = sum_j w_rj x_jn`, or with `w_nrj` when weights are per sample.
    ///
    /// # Shapes
    /// - `exits`: `[K, N, D]`, output: `[R, N, D]`
    pub fn of(&self, exits: Tensor<3>) -> Tensor<3> {
        let [k, n, d] = exits.dims();
        match self {
            Self::Fixed(weights) => {
                let [r, _] = weights.dims();
                let mixed = weights.clone().matmul(exits.reshape([k, n * d]));
                mixed.reshape([r, n, d])
            }
            Self::PerSample(weights) => weights
                .clone()
                .matmul(exits.swap_dims(0, 1))
                .swap_dims(0, 1),
        }
    }

    /// Weights averaged over the batch, `[R, K]`.
    pub fn mean(&self) -> Tensor<2> {
        match self {
            Self::Fixed(weights) => weights.clone(),
            Self::PerSample(weights) => weights.clone().mean_dim(0).squeeze_dim(0),
        }
    }
}

/// The initial scores of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnsembleStart {
    /// 1 for a teacher's own exit, 0 for the others: teachers differ from the first step on.
    Own,
    /// 0 everywhere: every teacher starts as the mean of all exits.
    Uniform,
}

/// One teacher per exit, each an ensemble of all exits with trained weights.
///
/// `e_k = sum_j w_kj z_j`, `w_k = softmax(a_k)`. Per teacher, `a` is a trained matrix
/// `[K, K]`; per sample, `a_k = A_k f_k + b_k` with the embedding `f_k` of the teacher's own exit
/// and trained `A_k` `[K, D_k]` (starting at 0) and `b_k` `[K]`. The exits are constants here:
/// a gradient reaches the weights only.
///
/// **Our reconstruction** (MATE-R) of the teachers of Sun et al., *MATE*, FITEE 25(4), 2024,
/// whose abstract says no more than that several ensemble teachers have different trainable
/// weights; the per-sample form is that of MLCSD-Net (Zhang et al., 2024).
#[derive(Module, Debug)]
pub struct LearnedEnsemble {
    /// Scores `a`, `[K, K]`, one row per teacher; absent when weights are per sample.
    pub scores: Option<Param<Tensor<2>>>,
    /// The maps from embeddings to scores, one per teacher or one for all; empty when weights are per
    /// teacher.
    pub maps: Vec<Linear>,
    /// Per-sample weights of the last observed batch, averaged.
    #[module(skip)]
    observed: Option<Tensor<2>>,
}

impl LearnedEnsemble {
    /// Teachers whose weights are the same for every sample.
    pub fn per_teacher(exits: usize, start: EnsembleStart, init: &Init) -> Self {
        let rows = (0..exits).flat_map(|teacher| first_scores(exits, teacher, start));
        let data = TensorData::new(rows.collect::<Vec<f32>>(), [exits, exits]);
        Self {
            scores: Some(Param::from_data(data, init.device())),
            maps: Vec::new(),
            observed: None,
        }
    }

    /// Teachers that weight the exits per sample, from embeddings of the given widths, one per exit.
    pub fn per_sample(widths: &[usize], start: EnsembleStart, init: &Init) -> Self {
        let exits = widths.len();
        let map = |(teacher, width): (usize, &usize)| Linear {
            weight: init.full([exits, *width], 0.0),
            bias: Some(Param::from_data(
                TensorData::new(first_scores(exits, teacher, start), [exits]),
                init.device(),
            )),
        };
        Self {
            scores: None,
            maps: widths.iter().enumerate().map(map).collect(),
            observed: None,
        }
    }

    /// The teachers of MLCSD-Net: `s_k = softmax(A_k f_k)` for every sample, with a trained map
    /// `A_k` `[K, D_k]` without bias for each exit, with PyTorch's default initialisation.
    pub fn mlcsd(widths: &[usize], init: &mut Init) -> Self {
        let map = |width: &usize| Linear::unbiased(*width, widths.len(), init);
        Self {
            scores: None,
            maps: widths.iter().map(map).collect(),
            observed: None,
        }
    }

    /// The teachers of MLCSD-Net's public code: one map for all exits.
    pub fn mlcsd_released(width: usize, exits: usize, init: &mut Init) -> Self {
        Self {
            scores: None,
            maps: vec![Linear::unbiased(width, exits, init)],
            observed: None,
        }
    }

    /// The weights for a batch.
    pub fn mixture(&self, outputs: &ExitOutputs) -> Mixture {
        if let Some(scores) = &self.scores {
            return Mixture::Fixed(softmax(scores.val(), 1));
        }
        let scores = self
            .maps
            .iter()
            .cycle()
            .zip(outputs.embeddings())
            .map(|(map, embedding)| map.forward(embedding.clone().without_autodiff()))
            .collect();
        Mixture::PerSample(softmax(Tensor::stack::<3>(scores, 1), 2))
    }

    /// Stores the per-sample weights of a batch for [`weights`](Teacher::weights). Weights per teacher
    /// need not be stored.
    pub fn observe(&mut self, outputs: &ExitOutputs) {
        if self.scores.is_none() {
            self.observed = Some(self.mixture(outputs).mean().without_autodiff());
        }
    }
}

fn first_scores(exits: usize, teacher: usize, start: EnsembleStart) -> Vec<f32> {
    let score = |exit| match start {
        EnsembleStart::Own if exit == teacher => 1.0,
        EnsembleStart::Own | EnsembleStart::Uniform => 0.0,
    };
    (0..exits).map(score).collect()
}

impl Teacher for LearnedEnsemble {
    fn targets(&self, outputs: &ExitOutputs, level: Level) -> Tensor<3> {
        self.mixture(outputs).of(level.constants(outputs))
    }

    /// Per-sample weights: the average over the last batch given to
    /// [`observe`](Self::observe); empty before the first.
    fn weights(&self) -> Vec<Vec<f32>> {
        let weights = match &self.scores {
            Some(scores) => softmax(scores.val().without_autodiff(), 1),
            None => match &self.observed {
                Some(weights) => weights.clone(),
                None => return Vec::new(),
            },
        };
        rows(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use offramp_core::{ExitOutput, default_device};

    fn row(values: [f32; 2], device: &Device) -> Tensor<2> {
        Tensor::from_floats([values], device)
    }

    /// Two exits with logits `z` and embeddings `f`.
    fn exits(device: &Device) -> ExitOutputs {
        let exit = |logits, embedding| ExitOutput::new(row(embedding, device), row(logits, device));
        vec![exit([2.0, 0.0], [1.0, 2.0]), exit([1.0, 0.5], [3.0, -1.0])].into()
    }

    fn assert_near<const D: usize>(actual: Tensor<D>, expected: &[f32]) {
        let actual: Vec<f32> = actual.into_data().try_to_vec().unwrap();
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 1e-5, "{actual:?} {expected:?}");
        }
    }

    /// Weights `s_i = softmax(0.5 f_i)` per sample, targets `sum_d s_id z_d` and `sum_d s_id f_d`; numbers of
    /// `methods/tests/python/golden.py`.
    #[test]
    fn per_sample_weights_and_targets() {
        let device = default_device().unwrap();
        let mut teacher =
            LearnedEnsemble::per_sample(&[2, 2], EnsembleStart::Uniform, &Init::new(1, &device));
        for map in &mut teacher.maps {
            map.weight = Param::from_data([[0.5, 0.0], [0.0, 0.5]], &device);
        }
        let outputs = exits(&device);
        let weights = teacher.mixture(&outputs).mean();
        assert_near(weights, &[0.377541, 0.622459, 0.880797, 0.119203]);
        let logits = teacher.targets(&outputs, Level::Logits);
        assert_near(logits, &[1.377541, 0.311230, 1.880797, 0.059601]);
        let embeddings = teacher.targets(&outputs, Level::Embeddings);
        assert_near(embeddings, &[2.244919, 0.132622, 1.238406, 1.642391]);
    }

    #[test]
    fn per_sample_weights_start_as_those_per_teacher() {
        let device = default_device().unwrap();
        let init = Init::new(1, &device);
        let outputs = exits(&device);
        let per_teacher = LearnedEnsemble::per_teacher(2, EnsembleStart::Own, &init);
        let mut per_sample = LearnedEnsemble::per_sample(&[2, 2], EnsembleStart::Own, &init);
        assert!(per_sample.weights().is_empty());
        per_sample.observe(&outputs);
        // softmax([1, 0]) = [.731059, .268941]
        let expected = [0.731059, 0.268941, 0.268941, 0.731059];
        assert_near(per_teacher.mixture(&outputs).mean(), &expected);
        assert_eq!(per_sample.weights(), per_teacher.weights());
    }

    #[test]
    fn every_sample_has_its_own_weights() {
        let device = default_device().unwrap();
        let weights = [[[1.0, 0.0]], [[0.25, 0.75]]];
        let mixture = Mixture::PerSample(Tensor::from_floats(weights, &device));
        let exits = Tensor::from_floats([[[4.0], [4.0]], [[8.0], [8.0]]], &device);
        assert_near(mixture.of(exits), &[4.0, 7.0]);
        assert_near(mixture.mean(), &[0.625, 0.375]);
    }
}
