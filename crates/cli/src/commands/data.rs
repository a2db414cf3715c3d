//! stub
use crate::args::DataArgs;
use crate::error::CliError;
/// stub
pub fn run(_args: &DataArgs) -> Result<(), CliError> { Ok(()) }
