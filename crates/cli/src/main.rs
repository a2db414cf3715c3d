//! The `offramp` program: a thin shell around the libraries.

mod args;
mod commands;
mod engine;
mod error;
mod fetch_progress;
mod hardware;
mod precision;
mod run;
mod table;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use commands::{
    bench, calibrate, data, demo, eval, export, import, list, predict, report, serve, train,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
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
