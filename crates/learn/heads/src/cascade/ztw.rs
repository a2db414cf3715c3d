//! Zero-Time-Waste's cascade connections.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::Cost;
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{Init, LayerNorm, Linear};
use serde::{Deserialize, Serialize};

use super::{Link, Place};

/// Settings of [`Ztw`].
///
/// ```toml
/// [model]
/// cascade = { name = "ztw", norm = false, last = false }   # or just "ztw"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ZtwConfig {
    /// Whether the previous logits are normalised, as for ImageNet in the authors' scripts.
    pub norm: bool,
    /// Whether the last exit takes part. The authors leave the network's own classifier as it was
    /// trained.
    pub last: bool,
}

impl ZtwConfig {
    pub(super) fn problem(&self) -> Option<String> {
        None
    }

    pub(super) fn link(&self, place: Place, init: &mut Init) -> Option<Ztw> {
        let Place {
            classes,
            width,
            last,
        } = place;
        let bound = 1.0 / ((width + classes) as f64).sqrt();
        (!last || self.last).then(|| Ztw {
            norm: self.norm.then(|| LayerNorm::new(classes, init)),
            fc: Linear {
                weight: init.uniform([classes, classes], bound),
                bias: None,
            },
        })
    }
}

/// `link(G) = V norm(sg(G))`: the exit's linear layer sees the answer of the exit before beside its
/// own embedding, `W f + V G + b` being one linear layer of the two joined.
///
/// Wolczyk et al., *Zero Time Waste: Recycling Predictions in Early Exit Neural Networks*, NeurIPS
/// 2021. No gradient flows into the exit before. `V` is drawn from `U(-1/sqrt(D+C), 1/sqrt(D+C))`,
/// PyTorch's bound for the joined layer, with `D` the width of the embedding and `C` classes.
#[derive(Module, Debug)]
pub struct Ztw {
    norm: Option<LayerNorm>,
    fc: Linear,
}

impl Link for Ztw {
    fn forward(&self, previous: Tensor<2>) -> Tensor<2> {
        let previous = previous.detach();
        self.fc.forward(match &self.norm {
            Some(norm) => norm.forward(previous),
            None => previous,
        })
    }

    fn trace(&self, b: &mut Builder, previous: Value) -> Result<Value, GraphError> {
        let previous = match &self.norm {
            Some(norm) => norm.trace(b, previous)?,
            None => previous,
        };
        self.fc.trace(b, previous)
    }

    fn cost(&self) -> Cost {
        self.fc.cost() + self.norm.as_ref().map(LayerNorm::cost).unwrap_or_default()
    }
}
