//! The table of backbones: help texts, documentation and tests are made from it.

use std::sync::LazyLock;

use crate::BackboneConfig;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct BackboneEntry {
    /// What a recipe calls it.
    pub name: &'static str,
    /// One line on what it is.
    pub doc: &'static str,
    /// Its settings with default options.
    pub config: fn() -> BackboneConfig,
}

/// All backbones.
pub fn registry() -> &'static [BackboneEntry] {
    static REGISTRY: LazyLock<Vec<BackboneEntry>> = LazyLock::new(|| crate::entries().collect());
    &REGISTRY
}
