//! The `[model]` table of a recipe.

use std::path::PathBuf;

use offramp_backbones::BackboneConfig;
use offramp_heads::{CascadeConfig, ExitPlacement, GradientFlow, HeadConfig, NetConfig};
use serde::{Deserialize, Serialize};

/// The network, and the source of its initial weights.
///
/// ```toml
/// [model]
/// backbone = "resnet56"
/// head = "sepconv"
/// init-from = "runs/cifar100_resnet56"   # a run folder, such as `offramp import` makes
/// freeze-backbone = true                 # only the heads and links are trained
/// cascade = "ztw"                        # exits use the output of the exit before
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelConfig {
    /// The backbone.
    pub backbone: BackboneConfig,
    /// The head of all exits.
    pub head: HeadConfig,
    /// The stages that the exits are attached to.
    pub exits: ExitPlacement,
    /// How an exit uses the output of the exit before.
    pub cascade: CascadeConfig,
    /// How the gradients of the exits behind each stage are combined in the backbone.
    pub gradients: GradientFlow,
    /// A run folder whose weights the network begins with: those of the backbone, which must be
    /// the same one, of every head at the same stage that has the same tensors (of several branches
    /// after one stage, the first of the first), and of every link between the same stages that
    /// does. Other heads and links are initialised. The pixels are normalised as that network
    /// expects, unless the recipe sets `data.mean` and `data.std`.
    pub init_from: Option<PathBuf>,
    /// Whether the backbone is frozen: no gradients, and batch norms as in evaluation.
    pub freeze_backbone: bool,
}

impl ModelConfig {
    /// The network alone, which is what a trained model records.
    pub fn net(&self) -> NetConfig {
        NetConfig {
            backbone: self.backbone.clone(),
            head: self.head.clone(),
            exits: self.exits.clone(),
            cascade: self.cascade.clone(),
        }
    }

    /// The key that is wrong and why.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        if self.freeze_backbone && self.init_from.is_none() {
            return wrong(
                "freeze-backbone",
                "a backbone of random weights would be frozen; name a run folder with init-from",
            );
        }
        if self.freeze_backbone && self.gradients != GradientFlow::Plain {
            return wrong(
                "gradients",
                "a frozen backbone has no gradients; leave out this or freeze-backbone",
            );
        }
        Ok(())
    }
}
