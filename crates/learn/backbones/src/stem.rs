//! The first layers, which depend on the size of the images.

use serde::{Deserialize, Serialize};

/// The first layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// For 32- and 64-pixel images: no stride, or fewer strides, as each family says.
    #[default]
    Small,
    /// For 224-pixel images, as published: a stride of 2 and often pooling of stride 2.
    Imagenet,
}

/// What a recipe may set of a family that has nothing else to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StemOptions {
    /// The first layers.
    pub stem: Stem,
}
