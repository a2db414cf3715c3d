//! Images/s of ours and of PyTorch's twin, in turn on one device.

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use clap::Args;
use offramp_conformance::throughput::{Job, Throughput, measure};
use offramp_core::{DeviceSpec, Precision};
use offramp_heads::NetConfig;
use serde::Serialize;
use serde_json::{Value, json};

const TWIN: &str = include_str!("../../../../../../benches/peers/gpu_twin.py");

/// How to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Measurements of each side, in turn; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A Python with torch and torchvision
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// ResNet-18 at 32 x 32 with batches of these sizes
    #[arg(long, value_delimiter = ',', default_value = "128,256,512,1024")]
    batches: Vec<usize>,
    /// The numbers to compute with: f32, bf16, fp16
    #[arg(long, value_delimiter = ',', default_value = "f32,bf16")]
    precisions: Vec<Precision>,
    /// ResNet-50 at 224 x 224 with a batch of this size; 0 leaves it out
    #[arg(long, default_value_t = 64)]
    large_batch: usize,
}

/// What was measured of one network with one batch size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The network.
    pub network: &'static str,
    /// Side of the images.
    pub side: usize,
    /// Images of a step.
    pub batch: usize,
    /// The numbers that were computed with.
    pub precision: Precision,
    /// Every measurement of ours.
    pub ours: Vec<Throughput>,
    /// Every measurement of PyTorch's: what its script printed.
    pub torch: Vec<Value>,
    /// What kept it from being measured.
    pub error: Option<String>,
}

/// Measures and prints a table.
pub(crate) fn run(options: &Options, spec: DeviceSpec, device: &Device) -> Vec<Row> {
    println!(
        "images/s, median of {} rounds of {} s",
        options.rounds, options.seconds
    );
    println!("network   side batch type | train: ours  torch  ratio | infer: ours  torch  ratio");
    let small = options
        .batches
        .iter()
        .map(|&batch| ("resnet18", 32, 100, batch));
    let large = (options.large_batch > 0).then_some(("resnet50", 224, 1000, options.large_batch));
    let mut rows = Vec::new();
    for (network, side, classes, batch) in small.chain(large) {
        for &precision in &options.precisions {
            let job = Job {
                net: net(network, side),
                classes,
                side,
                batch,
                precision,
                seconds: options.seconds,
            };
            let row = rounds(options, spec, device, network, &job);
            println!("{}", line(&row));
            rows.push(row);
        }
    }
    rows
}

fn net(name: &str, side: usize) -> NetConfig {
    let stem = if side < 64 { "small" } else { "imagenet" };
    let model = json!({"backbone": {"name": name, "stem": stem}, "head": "linear"});
    serde_json::from_value(model).expect("a network of the registry")
}

fn rounds(
    options: &Options,
    spec: DeviceSpec,
    device: &Device,
    network: &'static str,
    job: &Job,
) -> Row {
    let mut row = Row {
        network,
        side: job.side,
        batch: job.batch,
        precision: job.precision,
        ours: Vec::new(),
        torch: Vec::new(),
        error: None,
    };
    // A device without the type is no failure.
    if let Err(error) = job.precision.check(spec, device) {
        row.torch.push(json!({ "error": error.to_string() }));
        return row;
    }
    for _ in 0..options.rounds {
        match measure(job, device) {
            Ok(found) => row.ours.push(found),
            Err(error) => {
                row.error = Some(error);
                return row;
            }
        }
        device.memory_cleanup();
        match twin(&options.python, spec, network, job) {
            Ok(found) => row.torch.push(found),
            // Ours is measured all the same.
            Err(error) => row.torch.push(json!({ "error": error })),
        }
    }
    row
}

/// PyTorch's numbers, from a process of its own.
fn twin(python: &Path, spec: DeviceSpec, network: &str, job: &Job) -> Result<Value, String> {
    let device = match spec {
        DeviceSpec::Cuda(index) => format!("cuda:{index}"),
        DeviceSpec::Wgpu => "cuda".to_owned(),
        _ => "cpu".to_owned(),
    };
    let numbers = [job.side, job.classes, job.batch].map(|number| number.to_string());
    let done = Command::new(python)
        .args(["-c", TWIN, network])
        .args(numbers)
        .args([
            &job.precision.to_string(),
            &job.seconds.to_string(),
            &device,
        ])
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    let text = String::from_utf8_lossy(&done.stdout);
    if done.status.success() {
        serde_json::from_str(text.trim()).map_err(|error| format!("{text}: {error}"))
    } else {
        let said = String::from_utf8_lossy(&done.stderr);
        Err(said.lines().last().unwrap_or("it said nothing").to_owned())
    }
}

fn line(row: &Row) -> String {
    let head = format!(
        "{:<9} {:>4} {:>5} {:>4} |",
        row.network,
        row.side,
        row.batch,
        row.precision.to_string()
    );
    if let Some(error) = &row.error {
        return format!("{head} FAILED: {error}");
    }
    let pair = |ours: fn(&Throughput) -> f64, key: &str| {
        let ours = median(row.ours.iter().map(ours));
        let torch = median(row.torch.iter().filter_map(|found| found[key].as_f64()));
        match (ours, torch) {
            (Some(ours), Some(torch)) => format!("{ours:>12.0} {torch:>6.0} {:>6.2}", ours / torch),
            (Some(ours), None) => format!("{ours:>12.0}      -      -"),
            _ => "           -      -      -".to_owned(),
        }
    };
    let (train, infer) = (pair(|t| t.train, "train"), pair(|t| t.infer, "infer"));
    let error = row.torch.iter().find_map(|found| found["error"].as_str());
    let note = error.map(|error| format!(" ({error})"));
    format!("{head} {train} | {infer}{}", note.unwrap_or_default())
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
