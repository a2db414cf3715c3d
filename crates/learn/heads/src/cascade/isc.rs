//! IMTA's inline subnetwork collaboration.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::Cost;
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{BatchNorm2d, Init, Linear};
use serde::{Deserialize, Serialize};

use super::{Link, Place};

/// Settings of [`Isc`]: none.
///
/// ```toml
/// [model]
/// cascade = "isc"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct IscConfig {}

impl IscConfig {
    pub(super) fn problem(&self) -> Option<String> {
        None
    }

    pub(super) fn link(&self, place: Place, init: &mut Init) -> Option<Isc> {
        let Place { classes, width, .. } = place;
        let bound = 1.0 / ((2 * width) as f64).sqrt();
        Some(Isc {
            expand: Linear::new(classes, width, init),
            bn: BatchNorm2d::new(width, init),
            fc: Linear {
                weight: init.uniform([classes, width], bound),
                bias: None,
            },
        })
    }
}

/// `link(G) = U ReLU(BN(A G + a))`: the answer of the exit before becomes a vector as wide as the
/// embedding, and the classifier sees both, `W f + U ReLU(BN(A G + a)) + b`.
///
/// Li et al., *Improved Techniques for Training Adaptive Deep Networks*, ICCV 2019. A gradient flows
/// through the link into the exit before. `U` is drawn from `U(-1/sqrt(2D), 1/sqrt(2D))`, PyTorch's
/// bound for the joined classifier, with `D` the width of the embedding.
#[derive(Module, Debug)]
pub struct Isc {
    expand: Linear,
    bn: BatchNorm2d,
    fc: Linear,
}

impl Link for Isc {
    fn forward(&self, previous: Tensor<2>) -> Tensor<2> {
        let wide: Tensor<4> = self.expand.forward(previous).unsqueeze_dims(&[2, 3]);
        self.fc.forward(self.bn.forward_relu(wide).flatten(1, 3))
    }

    fn trace(&self, b: &mut Builder, previous: Value) -> Result<Value, GraphError> {
        let wide = self.expand.trace(b, previous)?;
        let wide = self.bn.trace_relu(b, wide)?;
        self.fc.trace(b, wide)
    }

    fn cost(&self) -> Cost {
        self.expand.cost() + self.bn.cost() + self.fc.cost()
    }
}
