//! The table of backbones: help texts, documentation and tests are made from it.

use offramp_core::registry::{Entry, Table};

use crate::{BackboneConfig, FAMILIES};

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

impl Entry for BackboneEntry {
    fn name(&self) -> &'static str {
        self.name
    }
}

static TABLE: Table<BackboneEntry> = Table::new("backbone", FAMILIES);

/// All backbones: those of this crate, then those that were [registered](register).
pub fn registry() -> Vec<BackboneEntry> {
    TABLE.all().to_vec()
}

/// Adds a backbone of another crate: recipes, `model.json` and `--help` know it from then on.
///
/// A registered backbone of the same name is replaced.
///
/// # Errors
/// When this crate has a backbone of that name, or the family has another name than the entry.
pub fn register(entry: BackboneEntry) -> Result<(), String> {
    let config = (entry.config)();
    if config.name() != entry.name {
        return Err(format!(
            "the entry is called {:?} and its family {:?}; run folders need one name",
            entry.name,
            config.name()
        ));
    }
    TABLE.register(entry)
}
