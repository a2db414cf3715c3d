//! How the gradients of the exits are weighed against each other in the backbone.

use burn::tensor::Tensor;
use offramp_core::Features;
use offramp_kernels::scale_gradient;
use serde::{Deserialize, Serialize};

/// What a part of the backbone learns from the exits behind it.
///
/// The gradients of all exits add up in the first stages: those of `K` exits in stage 0, of one in
/// the last. Gradient equilibrium (Li et al., *Improved Techniques for Training Adaptive Deep
/// Networks*, ICCV 2019) makes means of these sums. Of `K` exits, counted from 0, the gradient that
/// enters the output of exit `i`'s stage is
///
/// ```text
/// g_i = ( h_i + (K - i - 1) f_i ) / (K - i)
/// ```
///
/// with `h_i` from the exit's head and `f_i` from what follows. The values that go forward do not
/// change by a bit.
///
/// `f_i` is made of `g_{i+1}`, so every `g_i` is the plain gradient divided by `K - i`, and so are the
/// gradients of the parameters between exits `i - 1` and `i`. Heads learn as ever.
///
/// What a stage hands on besides its map ([`Features::carried`]) is scaled alike, since it is a part
/// of the same output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GradientFlow {
    /// The sum of all exits.
    #[default]
    Plain,
    /// The mean of the exits behind.
    Equilibrium,
}

/// One line of the table of gradient flows.
#[derive(Clone, Copy, Debug)]
pub struct GradientFlowEntry {
    /// What a recipe calls it.
    pub name: &'static str,
    /// One line on what it is.
    pub doc: &'static str,
    /// The thing itself.
    pub flow: GradientFlow,
}

static REGISTRY: &[GradientFlowEntry] = &[
    GradientFlowEntry {
        name: "plain",
        doc: "stages learn from the sum of the exits behind them",
        flow: GradientFlow::Plain,
    },
    GradientFlowEntry {
        name: "equilibrium",
        doc: "stages learn from the mean of the exits behind them (IMTA; BoostNet's gradient rescale)",
        flow: GradientFlow::Equilibrium,
    },
];

/// All gradient flows.
pub fn gradient_flows() -> &'static [GradientFlowEntry] {
    REGISTRY
}

impl GradientFlow {
    /// The map that the head of exit `exit` of `exits` sees, or a distiller on the way to it.
    pub(crate) fn to_exit(self, map: Tensor<4>, exit: usize, exits: usize) -> Tensor<4> {
        match self {
            Self::Plain => map,
            Self::Equilibrium => scale_gradient(map, 1.0 / (exits - exit) as f64),
        }
    }

    /// What goes on behind exit `exit` of `exits`.
    pub(crate) fn onward(self, features: Features, exit: usize, exits: usize) -> Features {
        match self {
            Self::Equilibrium if exit + 1 < exits => {
                let left = (exits - exit) as f64;
                features.map_each(|map| scale_gradient(map, (left - 1.0) / left))
            }
            Self::Plain | Self::Equilibrium => features,
        }
    }
}
