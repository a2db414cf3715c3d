//! The `offramp` program: a thin shell around the libraries.
//!
//! [`run`] is the whole program. A program of one's own that registers its methods, backbones, heads and
//! policies first has every command of `offramp` for them:
//!
//! ```no_run
//! # fn register() -> Result<(), String> { Ok(()) }
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     match register() {
//!         Ok(()) => offramp_cli::run(std::env::args_os()),
//!         Err(error) => {
//!             eprintln!("error: {error}");
//!             ExitCode::FAILURE
//!         }
//!     }
//! }
//! ```

mod args;
mod commands;
mod engine;
mod error;
mod fetch_progress;
mod hardware;
mod precision;
mod run;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use commands::{
    bench, calibrate, data, demo, eval, export, import, list, predict, report, serve, train,
};

/// Runs the command that the arguments name; the first is the program's own name. Help and mistakes in
/// the arguments are printed, and end the process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(args);
    let result = match &cli.command {
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Report(args) => report::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::List(args) => list::run(args),
        Command::Data(args) => data::run(args),
        Command::Demo(args) => demo::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
