//! A backbone, a head, a cascade, a loss, a method, a distiller and a policy of one's own, from outside
//! of the workspace:
//!
//! ```sh
//! cargo run --release -- list methods                      # every command of `offramp`, with these parts
//! cargo run --release -- train recipe.toml --out runs/own
//! cargo run --release                                      # trains, calibrates, and checks all of it
//! ```

mod backbone;
mod cascade;
mod check;
mod distiller;
mod head;
mod loss;
mod method;
mod policy;

use std::error::Error;
use std::process::ExitCode;

use offramp_heads::{CascadeConfig, HeadConfig};
use offramp_methods::MethodConfig;
use offramp_methods::distill::DistillerConfig;

/// Makes recipes and command lines know the parts.
fn register() -> Result<(), Box<dyn Error>> {
    offramp_backbones::register(backbone::ENTRY)?;
    HeadConfig::register::<head::NeckHead>()?;
    CascadeConfig::register::<cascade::SquashCascade>()?;
    MethodConfig::register::<method::LearnedWeightsConfig>()?;
    DistillerConfig::register::<distiller::LogitMse>()?;
    offramp_policies::register::<policy::ConfidenceSum>()?;
    Ok(())
}

fn main() -> ExitCode {
    let result = match register() {
        Ok(()) if std::env::args_os().len() > 1 => return offramp_cli::run(std::env::args_os()),
        Ok(()) => check::run(),
        error => error,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
