//! OKDDip: diverse peers teach each other, and all of them teach a leader.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets};
use offramp_nn::Init;
use offramp_teachers::{PeerAttention, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

/// Settings of [`Okddip`].
///
/// ```toml
/// [model]
/// head = "branch"
/// exits = [1, 1, 1, 1]      # three peers and the leader
///
/// [method]
/// name = "okddip"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct OkddipConfig {
    /// Weight of every exit's cross-entropy.
    pub ce_weights: CeWeights,
    /// Weight of each exit's logit term.
    pub kd_weight: f64,
    /// `T`.
    pub temperature: f64,
    /// The embeddings' width divided by that of the space in which attention compares them.
    pub reduction: usize,
    /// Whether gradients are stopped at the peers that teach. `W_q` and `W_k` are trained in any case.
    pub detach: bool,
    /// Ramp-up of the logit terms: by default over a quarter of the training, the authors' 80
    /// of 300 epochs.
    pub ramp: Ramp,
}

impl Default for OkddipConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_weight: 1.0,
            temperature: 3.0,
            reduction: 8,
            detach: false,
            ramp: Ramp::over(0.25),
        }
    }
}

impl OkddipConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range or the network has one exit.
    pub fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<Okddip, MethodError> {
        let check = Check { method: "okddip" };
        check.several_exits(net)?;
        check.weight("kd-weight", self.kd_weight)?;
        check.positive("temperature", self.temperature)?;
        check.positive("reduction", self.reduction as f64)?;
        let peers = &net.embedding_dims[..net.exits - 1];
        Ok(Okddip {
            teacher: PeerAttention::new(peers, self.reduction, init),
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            config: self.clone(),
        })
    }
}

/// The last exit is the leader, the `P` exits before it are its peers. Every peer has its own teacher,
/// a mixture of all peers by attention, so that the peers stay diverse; their mean teaches the
/// leader.
///
/// ```text
/// A_i = softmax_j(W_q f_i . W_k f_j)      t_i = sum_j A_ij z_j      i, j < P
/// L   = sum_i CE(z_i, y) + alpha ramp [ sum_{i<P} KL_T(z_i || t_i) + KL_T(z_P || 1/P sum_j z_j) ]
/// ```
///
/// No gradient is stopped: the distillation terms train the attention, which nothing else does, and
/// reach the peers through `t` and `A`, as in the authors' code (DefangChen/OKDDip-AAAI2020).
/// `detach = true` stops it at `f_j` and `z_j`, not at the attention.
///
/// Chen, Mei, Wang, Feng and Chen, *Online Knowledge Distillation with Diverse Peers*, AAAI 2020.
#[derive(Module, Debug)]
pub struct Okddip {
    /// The attention.
    pub teacher: PeerAttention,
    ce_weights: Vec<f64>,
    #[module(skip)]
    config: OkddipConfig,
}

impl Okddip {
    /// `t_i` of every peer, and the leader's target, `[P + 1, N, C]`.
    fn targets(&self, outputs: &ExitOutputs) -> Tensor<3> {
        let part = |x: &Tensor<2>| {
            if self.config.detach {
                x.clone().detach()
            } else {
                x.clone()
            }
        };
        let peers = outputs.len() - 1;
        let embeddings: Vec<_> = outputs.embeddings().take(peers).map(part).collect();
        let logits = stack(outputs.logits().take(peers).map(part));
        let targets = self.teacher.mixture(&embeddings).of(logits.clone());
        Tensor::cat(vec![targets, logits.mean_dim(0)], 0)
    }
}

impl Method for Okddip {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let mut terms = cross_entropies(outputs, targets, |exit| self.ce_weights[exit]);
        if config.kd_weight != 0.0 {
            let distillation = Distillation {
                temperature: config.temperature,
                form: SoftForm::Kl,
                // What must not learn is a constant already.
                target_gradient: true,
            };
            let students = stack(outputs.logits().cloned());
            let kd = distillation.rows(students, self.targets(outputs));
            let weight = config.kd_weight * config.ramp.factor(context);
            terms.push_each("kd", kd, |_| weight);
        }
        terms
    }

    fn after_step(&mut self, outputs: &ExitOutputs) {
        let peers = outputs.len() - 1;
        let embeddings: Vec<_> = outputs.embeddings().take(peers).cloned().collect();
        self.teacher.observe(&embeddings);
    }

    /// The leader's teacher is the last.
    fn scalars(&self) -> Vec<(String, f64)> {
        let mut weights = self.teacher.weights();
        let peers = weights.len();
        if peers > 0 {
            weights.push(vec![1.0 / peers as f32; peers]);
        }
        teacher_scalars(&weights)
    }
}
