//! The attention of OKDDip.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use offramp_nn::{Init, Linear};

use crate::Mixture;
use crate::teacher::rows;

/// One teacher per peer, each a mixture of all peers by attention between their embeddings, per sample:
///
/// ```text
/// q_i = W_q f_i      k_j = W_k f_j      A_i = softmax_j(q_i . k_j)      t_i = sum_j A_ij z_j
/// ```
///
/// The product is not divided by the root of the width. One pair `W_q`, `W_k` serves all peers
/// whose embeddings have one width; with different widths each peer has its own pair.
///
/// Chen, Mei, Wang, Feng and Chen, *Online Knowledge Distillation with Diverse Peers*, AAAI 2020.
#[derive(Module, Debug)]
pub struct PeerAttention {
    /// `W_q`, one for all peers or one per peer.
    pub queries: Vec<Linear>,
    /// `W_k`, likewise.
    pub keys: Vec<Linear>,
    /// `A` for the last observed batch, averaged, `[P, P]`.
    #[module(skip)]
    observed: Option<Tensor<2>>,
}

impl PeerAttention {
    /// Attention between peers of the given widths, in a space of the largest width divided by
    /// `reduction` (at least 1); maps with PyTorch's default initialisation.
    pub fn new(widths: &[usize], reduction: usize, init: &mut Init) -> Self {
        let largest = widths.iter().max().copied().unwrap_or(1);
        let space = (largest / reduction.max(1)).max(1);
        let alike = widths.iter().all(|width| *width == largest);
        let inputs = if alike {
            &widths[..widths.len().min(1)]
        } else {
            widths
        };
        let mut maps = || -> Vec<Linear> {
            let maps = inputs
                .iter()
                .map(|width| Linear::unbiased(*width, space, init));
            maps.collect()
        };
        Self {
            queries: maps(),
            keys: maps(),
            observed: None,
        }
    }

    /// The weights `A` for a batch.
    ///
    /// # Shapes
    /// - `embeddings`: `[N, D_i]` of every peer; weights: `[N, P, P]`
    pub fn mixture(&self, embeddings: &[Tensor<2>]) -> Mixture {
        let mapped = |maps: &[Linear]| {
            let maps = maps.iter().cycle().zip(embeddings);
            let mapped = maps.map(|(map, embedding)| map.forward(embedding.clone()));
            Tensor::stack::<3>(mapped.collect(), 1)
        };
        let (queries, keys) = (mapped(&self.queries), mapped(&self.keys));
        Mixture::PerSample(softmax(queries.matmul(keys.swap_dims(1, 2)), 2))
    }

    /// Stores the weights of a batch for [`weights`](Self::weights).
    pub fn observe(&mut self, embeddings: &[Tensor<2>]) {
        let constants: Vec<_> = (embeddings.iter())
            .map(|embedding| embedding.clone().without_autodiff())
            .collect();
        self.observed = Some(self.valid().mixture(&constants).mean());
    }

    /// `A` averaged over the last batch given to [`observe`](Self::observe); none before the
    /// first.
    pub fn weights(&self) -> Vec<Vec<f32>> {
        self.observed.clone().map(rows).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use offramp_core::default_device;

    /// `A = softmax_j(q_i . k_j)` with `q = [1,0], [0,1], [1,1]`, the first two numbers of the embeddings, and
    /// `k = [1,0], [0,2], [1,-1]`, the others; numbers of `methods/tests/python/golden.py`.
    #[test]
    fn attention_of_three_peers() {
        let device = default_device().unwrap();
        let mut attention = PeerAttention::new(&[4, 4, 4], 2, &mut Init::new(1, &device));
        assert_eq!((attention.queries.len(), attention.keys.len()), (1, 1));
        attention.queries[0].weight =
            Param::from_data([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], &device);
        attention.keys[0].weight =
            Param::from_data([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]], &device);
        let peers = [
            [1.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 0.0, 2.0],
            [1.0, 1.0, 1.0, -1.0],
        ];
        let embeddings = peers.map(|peer| Tensor::<2>::from_floats([peer], &device));
        attention.observe(&embeddings);
        let expected = [
            [0.422319, 0.155362, 0.422319],
            [0.114195, 0.843795, 0.042010],
            [0.244728, 0.665241, 0.090031],
        ];
        let found = attention.weights();
        for (found, expected) in found.concat().iter().zip(expected.concat()) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn peers_of_different_widths_have_maps_of_their_own() {
        let device = default_device().unwrap();
        let attention = PeerAttention::new(&[16, 32], 8, &mut Init::new(1, &device));
        let shapes = |maps: &[Linear]| maps.iter().map(|map| map.weight.dims()).collect::<Vec<_>>();
        assert_eq!(shapes(&attention.queries), [[4, 16], [4, 32]]);
        assert_eq!(shapes(&attention.keys), [[4, 16], [4, 32]]);
        let embeddings = [16, 32].map(|width| Tensor::<2>::ones([3, width], &device));
        let Mixture::PerSample(weights) = attention.mixture(&embeddings) else {
            panic!("weights for every sample");
        };
        assert_eq!(weights.dims(), [3, 2, 2]);
    }
}
