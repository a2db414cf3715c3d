//! Deep mutual learning between networks.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_heads::MultiExitNet;
use offramp_losses::cross_entropy;
use offramp_nn::Init;
use offramp_teachers::stack;
use serde::{Deserialize, Serialize};

use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::mutual::{Mutual, MutualTarget};
use crate::{LossTerms, MethodError};

/// Settings of [`Dml`].
///
/// ```toml
/// [distill.dml]
/// loss = { name = "dml", peers = 3 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmlConfig {
    /// Number of networks beside the student.
    pub peers: usize,
    /// Weight of each network's distillation term; the peers' cross-entropies have weight 1.
    pub kd_weight: f64,
    /// `T`.
    pub temperature: f64,
    /// The target of a network: each of the others, or their mean.
    pub target: MutualTarget,
    /// Whether gradients are stopped at the networks that teach (`sg` below).
    pub detach: bool,
}

impl Default for DmlConfig {
    fn default() -> Self {
        Self {
            peers: 1,
            kd_weight: 1.0,
            temperature: 1.0,
            target: MutualTarget::Each,
            detach: true,
        }
    }
}

impl DmlConfig {
    /// Sets the distiller up with new peers, which are trained.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<Dml, MethodError> {
        let check = Check { method: "dml" };
        check.positive("peers", self.peers as f64)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.positive("temperature", self.temperature)?;
        let mut peer = |_| {
            let classes = info.student.classes;
            let peer = (info.net).init_exit(info.exit, classes, info.image, &mut init.fork());
            peer.map_err(|error| MethodError::Network {
                method: "dml",
                problem: error.to_string(),
            })
        };
        Ok(Dml {
            peers: (0..self.peers).map(&mut peer).collect::<Result<_, _>>()?,
            config: self.clone(),
        })
    }
}

/// Networks like the student are trained beside it, on the same batches; all teach each other. With the student's logits `z_0` and those of its peers `z_1, ..., z_P`:
///
/// ```text
/// L = alpha D_0 + alpha sum_{k>0} D_k + sum_{k>0} CE(z_k, y)
/// D_k = 1/P sum_{j != k} KL_T(z_k || sg z_j)
/// ```
///
/// Three terms, the second `peer-kd`, the third `peer-ce`; the student's cross-entropy is the
/// method's. A peer is the student up to the exit that learns, with its own initial weights. It gets
/// the same images as the student, is trained by the same optimiser, is saved in checkpoints and is
/// not part of the model.
///
/// Zhang, Xiang, Hospedales and Lu, *Deep Mutual Learning*, CVPR 2018, with `T` = 1 and one
/// network updated after the other; here, as in the public code of OKDDip, all are updated at once.
#[derive(Module, Debug)]
pub struct Dml {
    /// The networks beside the student.
    peers: Vec<MultiExitNet>,
    #[module(skip)]
    config: DmlConfig,
}

impl Dml {
    /// The networks beside the student.
    pub fn peers(&self) -> &[MultiExitNet] {
        &self.peers
    }
}

impl Distiller for Dml {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let config = &self.config;
        let answer = |peer: &MultiExitNet| peer.forward(batch.images.clone()).exits.pop();
        let answers: Vec<Tensor<2>> = (self.peers.iter())
            .filter_map(|peer| Some(answer(peer)?.logits))
            .collect();
        let student = batch.student.exit.logits.clone();
        let mutual = Mutual {
            temperature: config.temperature,
            target: config.target,
            detach: config.detach,
        };
        let cohort = stack([student].into_iter().chain(answers.iter().cloned()));
        let taught = mutual.divergences(cohort);
        let classified = answers.into_iter().map(|z| cross_entropy(z, batch.targets));
        let classified = Tensor::cat(classified.collect(), 0);

        let mut terms = LossTerms::new();
        terms.push("", taught.clone().narrow(0, 0, 1), config.kd_weight);
        let peers = taught.narrow(0, 1, self.peers.len());
        terms.push("peer-kd", peers.sum(), config.kd_weight);
        terms.push("peer-ce", classified.sum(), 1.0);
        terms
    }
}
