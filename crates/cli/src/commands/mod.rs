//! The subcommands, one file each.

pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod export;
mod gallery;
pub(crate) mod import;
pub(crate) mod list;
mod policy;
pub(crate) mod predict;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod train;

use serde::Serialize;

use crate::error::CliError;

/// Prints one JSON document on stdout.
fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(CliError::Json)?;
    println!("{text}");
    Ok(())
}
