//! Families whose networks have nothing to set but their first layers.

use std::fmt::Debug;

use offramp_core::StageInfo;
use offramp_nn::Init;

use super::{Chain, LayerFamily};
use crate::{Stem, StemOptions};

/// A family of backbones made of layers, with a form for small images and one for 224 pixels.
pub trait StemFamily: Clone + PartialEq + Debug {
    /// The name in the registry.
    fn name(&self) -> &str;

    /// The stages of the whole network.
    fn stages(&self, stem: Stem) -> Vec<StageInfo>;

    /// Builds the layers of one stage.
    fn stage(&self, stage: usize, stem: Stem, init: &mut Init) -> Chain;

    /// See [`Backbone::classifier_name`](offramp_core::Backbone::classifier_name).
    fn classifier_name(&self) -> &'static str {
        "fc"
    }
}

/// A member of a [`StemFamily`] with its option.
#[derive(Clone, Debug, PartialEq)]
pub struct WithStem<F> {
    family: F,
    options: StemOptions,
}

impl<F> From<F> for WithStem<F> {
    /// For small images.
    fn from(family: F) -> Self {
        Self {
            family,
            options: StemOptions::default(),
        }
    }
}

impl<F: StemFamily> LayerFamily for WithStem<F> {
    type Options = StemOptions;

    fn name(&self) -> &str {
        self.family.name()
    }

    fn options(&self) -> StemOptions {
        self.options
    }

    fn with_options(mut self, options: StemOptions) -> Result<Self, String> {
        self.options = options;
        Ok(self)
    }

    fn stages(&self) -> Vec<StageInfo> {
        self.family.stages(self.options.stem)
    }

    fn stage(&self, stage: usize, init: &mut Init) -> Chain {
        self.family.stage(stage, self.options.stem, init)
    }

    fn classifier_name(&self) -> &'static str {
        self.family.classifier_name()
    }
}
