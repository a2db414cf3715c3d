//! The suite and a bench in one program, for a machine with a GPU and nothing else.

mod bench;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use offramp_conformance::Place;
use offramp_core::DeviceSpec;

/// Checks a device against double precision on the processor, trains beside it, and measures images/s
/// beside PyTorch on the same device.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  gpu-check                                   suite and bench on cuda:0
  gpu-check --device wgpu --suite             the suite through Vulkan
  gpu-check --suite --only backbones/resnet   some of it
  gpu-check --bench --python /opt/venv/bin/python3 --json bench.json"
)]
struct Args {
    /// cpu, ndarray, cuda, cuda:N or wgpu
    #[arg(long, default_value = "cuda", env = DeviceSpec::VARIABLE)]
    device: DeviceSpec,
    /// Only the suite
    #[arg(long, conflicts_with = "bench")]
    suite: bool,
    /// Only the bench
    #[arg(long)]
    bench: bool,
    /// Only checks whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    measure: bench::Options,
    /// Also writes what was measured here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn run(args: &Args) -> Result<bool, String> {
    let spec = args.device.best();
    let device = spec.device().map_err(|error| error.to_string())?;
    println!("gpu-check {} on {spec}", env!("CARGO_PKG_VERSION"));
    let mut well = true;
    if !args.bench {
        let only = args.only.as_deref().unwrap_or("");
        well &= suite::run(spec, &Place::on(device.clone()), only);
    }
    if !args.suite {
        let rows = bench::run(&args.measure, spec, &device);
        well &= rows.iter().all(|row| row.error.is_none());
        if let Some(path) = &args.json {
            let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(well)
}
