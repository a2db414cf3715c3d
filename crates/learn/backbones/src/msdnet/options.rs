//! What a recipe may set of an MSDNet.

use serde::{Deserialize, Serialize};

/// How many layers each block has after the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Growth {
    /// `step` layers.
    #[default]
    Even,
    /// `step i + 1` layers in block `i`, counted from 0.
    Linear,
}

/// When the finest scale is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Prune {
    /// After every `1 / scales` of the layers.
    #[default]
    Max,
    /// As late as possible, so that the last layer has one scale.
    Min,
}

/// What a recipe may set. The defaults are those of the registered network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct MsdNetOptions {
    /// Number of blocks; an exit may follow each.
    pub blocks: Option<usize>,
    /// Layers of the first block.
    pub base: Option<usize>,
    /// Layers of the others, see [`Growth`].
    pub step: Option<usize>,
    /// How the number of layers grows.
    pub growth: Option<Growth>,
    /// When scales are given up.
    pub prune: Prune,
}
