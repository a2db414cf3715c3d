//! The `offramp` program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    offramp_cli::run(std::env::args_os())
}
