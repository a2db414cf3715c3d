//! The table of backbones: help texts, documentation and tests are made from it.

use std::sync::{PoisonError, RwLock};

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

/// Those of other crates.
static REGISTERED: RwLock<Vec<BackboneEntry>> = RwLock::new(Vec::new());

/// All backbones: those of this crate, then those that were [registered](register).
pub fn registry() -> Vec<BackboneEntry> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let own = FAMILIES.iter().copied().flatten().copied();
    own.chain(registered.iter().copied()).collect()
}

/// Adds a backbone of another crate: recipes, `model.json` and `--help` know it from then on.
///
/// A backbone of the same name is replaced, unless it is one of this crate's.
///
/// # Errors
/// When this crate has a backbone of that name.
pub fn register(entry: BackboneEntry) -> Result<(), String> {
    let mut own = FAMILIES.iter().copied().flatten();
    if own.any(|known| known.name == entry.name) {
        return Err(format!(
            "there is a backbone called {:?} already",
            entry.name
        ));
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|known| known.name != entry.name);
    registered.push(entry);
    Ok(())
}
