//! Whole runs on two devices: step for step beside each other, and from one to the other.

use std::fs;
use std::path::Path;

use offramp_core::DeviceSpec;
use offramp_train::progress::Silent;
use offramp_train::{Recipe, TrainOptions, train};
use serde_json::Value;

/// ResNet-8 with three exits and learned ensembles as teachers, two epochs of 27 steps on generated
/// images with every kind of state: momentum, moving average, clipping, warm-up.
const RECIPE: &str = "
    seed = 3
    [data]
    dataset = 'generated'
    val-fraction = 0.1
    generated = { train = 480, test = 40 }
    [model]
    backbone = 'resnet8'
    [method]
    name = 'mate'
    [train]
    epochs = 2
    batch-size = 16
    warmup-epochs = 1
    clip-norm = 5.0
    log-every = 1
    ema = { decay = 0.9 }
    [train.optimizer]
    lr = 0.02
    [train.checkpoint]
    every-steps = 10
";

/// Where a run is interrupted: after the checkpoint of step 20, so that some steps are done again.
const INTERRUPTION: u64 = 25;

/// Steps whose losses are judged.
pub const STEPS: usize = 50;

/// How far the loss of one of the first [`STEPS`] steps may be off, relative; measured in
/// `docs/src/devices.md`.
pub const TOLERANCE: f64 = 5e-2;

/// The loss of every step on two devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// One pair per step.
    pub losses: Vec<[f64; 2]>,
}

impl Beside {
    /// The largest difference of the first steps, relative to the loss of the first device.
    pub fn error(&self, steps: usize) -> f64 {
        let steps = self.losses.iter().take(steps);
        let errors = steps.map(|[a, b]| (a - b).abs() / a.abs().max(1e-30));
        errors.fold(0.0, |most, error| {
            if error.is_nan() {
                f64::INFINITY
            } else {
                most.max(error)
            }
        })
    }

    /// The error of the first [`STEPS`] steps.
    ///
    /// # Errors
    /// When it is more than [`TOLERANCE`], or there are fewer steps.
    pub fn judged(&self) -> Result<f64, String> {
        let error = self.error(STEPS);
        if error <= TOLERANCE && self.losses.len() >= STEPS {
            Ok(error)
        } else {
            Err(format!(
                "{} steps, off by {error:.1e}, more than {TOLERANCE:.0e}: {:?}",
                self.losses.len(),
                self.losses
            ))
        }
    }
}

/// A run on two devices.
pub type Trial = fn([DeviceSpec; 2]) -> Result<Beside, String>;

/// All runs that a device other than the processor is judged by.
pub fn trials(spec: DeviceSpec) -> [(&'static str, Trial, [DeviceSpec; 2]); 3] {
    let cpu = DeviceSpec::Cpu;
    [
        ("training/follows-cpu", follow as Trial, [cpu, spec]),
        ("training/goes-on-from-cpu", cross, [cpu, spec]),
        ("training/goes-on-on-cpu", cross, [spec, cpu]),
    ]
}

/// Trains from one seed on both devices.
///
/// # Errors
/// The error of one of the runs.
pub fn follow(devices: [DeviceSpec; 2]) -> Result<Beside, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let [a, b] =
        devices.map(|device| run(&folder.path().join(device.to_string()), device, false, None));
    beside(a?, b?)
}

/// Trains on the first device, interrupts the run, and goes on with its last checkpoint on the second;
/// beside it the run that stayed.
///
/// # Errors
/// The error of one of the runs.
pub fn cross([from, to]: [DeviceSpec; 2]) -> Result<Beside, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let stayed = run(&folder.path().join("stayed"), from, false, None)?;
    let out = folder.path().join("went");
    run(&out, from, false, Some(INTERRUPTION))?;
    let went = run(&out, to, true, None)?;
    beside(stayed, went)
}

fn beside(a: Vec<f64>, b: Vec<f64>) -> Result<Beside, String> {
    if a.len() != b.len() {
        return Err(format!("{} steps and {}", a.len(), b.len()));
    }
    let losses = a.into_iter().zip(b).map(|(a, b)| [a, b]).collect();
    Ok(Beside { losses })
}

/// The loss of every step of the run folder.
fn run(
    out: &Path,
    device: DeviceSpec,
    resume: bool,
    stop: Option<u64>,
) -> Result<Vec<f64>, String> {
    let recipe = Recipe::parse::<&str>(RECIPE, "conformance.toml".as_ref(), &[]);
    let options = TrainOptions {
        out: out.to_owned(),
        resume,
        data_root: None,
        device: Some(device),
        progress: &mut Silent,
        stop_after_steps: stop,
    };
    train(&recipe.map_err(|error| error.to_string())?, options)
        .map_err(|error| format!("{device}: {error}"))?;
    let file = out.join("metrics.jsonl");
    let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let steps = lines
        .filter_map(Result::ok)
        .filter(|line| line["kind"] == "step");
    Ok(steps.filter_map(|line| line["loss"].as_f64()).collect())
}
