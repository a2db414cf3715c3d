//! The subcommands, one file each.

pub mod bench;
pub mod calibrate;
pub mod data;
pub mod demo;
pub mod eval;
pub mod export;
mod gallery;
pub mod import;
pub mod list;
mod policy;
pub mod predict;
pub mod report;
pub mod serve;
pub mod train;

use serde::Serialize;

use crate::error::CliError;

/// Prints one JSON document on stdout.
fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(CliError::Json)?;
    println!("{text}");
    Ok(())
}
