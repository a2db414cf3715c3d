//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use offramp_core::DeviceSpec;
use offramp_data::Split;
use offramp_interop::export::Opset;
use offramp_train::Checkpointing;

use crate::commands::{bench, report, serve};
use crate::engine::EngineArgs;
use crate::precision::Precision;

/// Train, evaluate, calibrate and run image classifiers with several exits.
#[derive(Debug, Parser)]
#[command(name = "offramp", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network from a recipe, into a run folder
    #[command(after_help = "Example:\n  \
        offramp train recipes/cifar100-lowdata/mate.toml --data ~/data --set train.epochs=3 --out runs/try\n  \
        offramp train recipes/cifar100-lowdata/mate.toml --data ~/data --out runs/try --resume")]
    Train(TrainArgs),
    /// Score every exit of a trained network
    #[command(after_help = "Example:\n  offramp eval runs/demo --split test --json")]
    Eval(EvalArgs),
    /// Choose thresholds on validation rows and score them on test rows
    #[command(after_help = "Example:\n  \
        offramp calibrate runs/demo                  the 39 budgets of MSDNet's search\n  \
        offramp calibrate runs/demo --max-macs 60%   the best accuracy at 60 % of the full cost\n  \
        offramp calibrate runs/demo --max-drop 1     the cheapest at most 1 point below the last exit\n  \
        offramp calibrate runs/demo --max-drop 1 --guarantee 95%   ... on new images, with that probability\n  \
        offramp calibrate runs/demo --policy gates   any policy of `offramp list policies`\n  \
        offramp calibrate runs/demo --max-mean-ms 0.2   the best accuracy at 0.2 ms per image on this machine\n  \
        offramp calibrate runs/demo --policy deadline --max-ms 5   the deepest exit within 5 ms per image")]
    Calibrate(CalibrateArgs),
    /// Classify images, stopping at the first exit that is sure enough
    #[command(after_help = "Example:\n  offramp predict runs/demo cat.png dog.jpg --json")]
    Predict(PredictArgs),
    /// How long a network takes to each exit and with its policy, beside one without early exits
    #[command(after_help = "Examples:\n  \
        offramp bench runs/demo\n  \
        offramp bench runs/demo --batch 1,128 --threads 1,2 --json")]
    Bench(bench::BenchArgs),
    /// Charts of runs: one page for a browser, SVG files or a table of numbers
    #[command(after_help = "Examples:\n  \
        offramp report runs/mate-0 runs/mate-1 runs/plain-0 -o report.html\n  \
        offramp report runs/demo --measure               with reliability and shares by class\n  \
        offramp report runs/demo --format svg -o figures  one file a chart, for papers")]
    Report(report::ReportArgs),
    /// Answer over HTTP, each image at the first exit that is sure enough; with a page at /
    #[command(after_help = "Examples:\n  \
        offramp serve runs/demo                            http://127.0.0.1:8080, for this machine alone\n  \
        offramp serve runs/a b=runs/b --listen 0.0.0.0:8080 --keys keys.txt\n  \
        curl --data-binary @cat.png -H 'content-type: image/png' 'http://127.0.0.1:8080/v1/predict?max_ms=5'\n\n\
        SIGHUP loads the runs again, SIGTERM stops when what was accepted is answered.")]
    Serve(serve::ServeArgs),
    /// Make a run folder of a network that was trained elsewhere
    #[command(after_help = "Examples:\n  \
        offramp import cifar100_resnet56.pt --backbone resnet56 --mean .5070,.4865,.4409 --std .2673,.2564,.2761\n  \
        offramp import resnet20-12fca82f.th --backbone resnet20 --set shortcut=A --out runs/teacher\n\n\
        Reads .pt, .pth, .th (also of PyTorch before 1.6) and .safetensors. Nothing in the file is run.")]
    Import(ImportArgs),
    /// Write a network for other programs
    #[command(after_help = "Examples:\n  \
        offramp export runs/demo --format onnx             one graph with all exits\n  \
        offramp export runs/demo --format onnx --segments  one graph per segment, and the JSON that chains them\n  \
        offramp export runs/demo --format safetensors      for PyTorch's load_state_dict\n  \
        offramp export runs/demo --format plan --precision int8   compiled, with bytes")]
    Export(ExportArgs),
    /// Show what recipes can name
    #[command(after_help = "Example:\n  offramp list methods")]
    List(ListArgs),
    /// Download, describe or check a data set
    #[command(after_help = "Example:\n  offramp data fetch cifar-100 --data ~/data")]
    Data(DataArgs),
    /// The main job on the built-in data set: train, evaluate, calibrate (some minutes)
    #[command(after_help = "Example:\n  offramp demo --out runs/demo")]
    Demo(DemoArgs),
}

/// Where to compute and where data lie.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Folder in which data sets lie, each under its usual name
    #[arg(long, env = "OFFRAMP_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// auto, cpu, ndarray, cuda, cuda:N or wgpu
    #[arg(long, env = DeviceSpec::VARIABLE, default_value_t = DeviceSpec::Auto, value_name = "DEVICE")]
    pub device: DeviceSpec,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Recipe, a TOML file
    pub recipe: PathBuf,
    /// Change a key of the recipe, such as train.epochs=3 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Run folder [default: runs/NAME, the name of the recipe]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in the folder from its newest checkpoint
    #[arg(long)]
    pub resume: bool,
    /// What the network computes with: f32, bf16 or fp16; short for --set train.precision=...
    #[arg(long, value_name = "NUMBERS")]
    pub precision: Option<offramp_core::Precision>,
    /// Parts in which a batch is computed, to save memory; short for --set train.accumulate=N
    #[arg(long, value_name = "N")]
    pub accumulate: Option<usize>,
    /// Devices that share each batch, the run's and those after it; short for --set train.replicas=N
    #[arg(long, value_name = "N")]
    pub replicas: Option<usize>,
    /// none or blocks: computes blocks twice, to save memory; short for --set train.checkpointing=...
    #[arg(long, value_name = "WHAT")]
    pub checkpointing: Option<Checkpointing>,
    /// Data and device.
    #[command(flatten)]
    pub place: Place,
    /// Print the final scores as JSON
    #[arg(long)]
    pub json: bool,
}

impl TrainArgs {
    /// Changes of the recipe, in the order in which they are made.
    pub(crate) fn settings(&self) -> Vec<String> {
        let precision = self.precision.map(|it| format!("train.precision={it}"));
        let accumulate = self.accumulate.map(|it| format!("train.accumulate={it}"));
        let checkpointing = self
            .checkpointing
            .map(|it| format!("train.checkpointing={it}"));
        let replicas = self.replicas.map(|it| format!("train.replicas={it}"));
        let short = [precision, accumulate, replicas, checkpointing];
        let short = short.into_iter().flatten();
        self.set.iter().cloned().chain(short).collect()
    }
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Run folder
    pub run: PathBuf,
    /// Another data set with the same classes
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// train, val or test
    #[arg(long, default_value_t = Split::Test)]
    pub split: Split,
    /// Images per batch
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub batch_size: usize,
    /// Loader threads [default: those of the recipe]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Also: overthinking, an oracle, agreement between exits, reliability
    #[arg(long)]
    pub diagnostics: bool,
    /// Also write the logits of all exits, the labels and the costs, as safetensors
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    /// Data and device.
    #[command(flatten)]
    pub place: Place,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `calibrate`.
#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// Run folder
    pub run: PathBuf,
    /// When an image stops; `offramp list policies` shows what there is
    #[arg(long, default_value = "confidence", value_name = "NAME")]
    pub policy: String,
    /// Ensemble of the exits so far, fitted first; `offramp list policies` shows what there is
    #[arg(long, value_name = "NAME")]
    pub ensemble: Option<String>,
    /// Fit one temperature per exit first
    #[arg(long)]
    pub temperatures: bool,
    /// Best accuracy at this mean cost: a number, 30M, 1.2G, or 60% of the full network
    #[arg(long, value_name = "MACS", conflicts_with = "max_drop")]
    pub max_macs: Option<String>,
    /// Best accuracy at this mean time of an image, milliseconds, by times measured here and now
    #[arg(long, value_name = "MS", conflicts_with_all = ["max_macs", "max_drop", "guarantee", "max_ms"])]
    pub max_mean_ms: Option<f64>,
    /// Cheapest at most this many points of accuracy below the deepest exit
    #[arg(long, value_name = "POINTS")]
    pub max_drop: Option<f64>,
    /// Let --max-drop hold on new images: with this probability, such as 95%, or on average, `mean`
    #[arg(long, value_name = "P", conflicts_with = "max_macs")]
    pub guarantee: Option<String>,
    /// Time limit of `--policy deadline` for one image, milliseconds
    #[arg(long, value_name = "MS", conflicts_with_all = ["max_macs", "max_drop"])]
    pub max_ms: Option<f64>,
    /// Images per batch
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub batch_size: usize,
    /// What is timed for a deadline.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Data and device.
    #[command(flatten)]
    pub place: Place,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// Run folder
    pub run: PathBuf,
    /// Images: png, jpeg, webp, bmp or gif (its first frame)
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Policy file [default: policy.json of the run; without one, the deepest exit]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Always answer at this exit, counted from 0
    #[arg(long, value_name = "K", conflicts_with = "policy")]
    pub exit: Option<usize>,
    /// What computes.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// auto, cpu, ndarray, cuda, cuda:N or wgpu
    #[arg(long, env = DeviceSpec::VARIABLE, default_value_t = DeviceSpec::Auto, value_name = "DEVICE")]
    pub device: DeviceSpec,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File of weights
    pub weights: PathBuf,
    /// The network that they are of; `offramp list backbones` shows them
    #[arg(long, value_name = "NAME")]
    pub backbone: String,
    /// An option of the backbone, such as shortcut=A (repeatable)
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    pub set: Vec<String>,
    /// Number of classes [default: that of the classifier in the file]
    #[arg(long, value_name = "N")]
    pub num_classes: Option<usize>,
    /// Names of the classes, one per line [default: numbers]
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Side of the input images [default: 224 with stem=imagenet, else 32]
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Mean of the pixels, 0 to 1, that the network was trained with [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = colour, requires = "std")]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of the pixels that it was trained with [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = deviation, requires = "mean")]
    pub std: Option<[f32; 3]>,
    /// What matches REGEX in a name of the file becomes NAME ($1 for a group); an empty NAME leaves
    /// the tensor out (repeatable)
    #[arg(long, value_name = "REGEX=NAME")]
    pub rename: Vec<String>,
    /// Leave tensors that are not in the file as a fresh network has them, and list them
    #[arg(long)]
    pub allow_missing: bool,
    /// Run folder [default: runs/NAME, the name of the file]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// `R,G,B`.
fn colour(text: &str) -> Result<[f32; 3], String> {
    let numbers = text.split(',').map(|part| part.trim().parse::<f32>().ok());
    let finite: Option<Vec<f32>> = numbers
        .map(|number| number.filter(|number| number.is_finite()))
        .collect();
    finite
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| "write three numbers, such as .485,.456,.406".to_owned())
}

/// `R,G,B`, to be divided by.
fn deviation(text: &str) -> Result<[f32; 3], String> {
    match colour(text)? {
        colour if colour.iter().all(|number| *number > 0.0) => Ok(colour),
        _ => Err("a standard deviation is above 0".to_owned()),
    }
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Run folder
    pub run: PathBuf,
    /// What to write
    #[arg(long)]
    pub format: ExportFormat,
    /// One graph for each segment with its exit, for runtimes that stop early
    #[arg(long)]
    pub segments: bool,
    /// The name of --segments in earlier versions; writes to export/staged
    #[arg(long, hide = true)]
    pub staged: bool,
    /// File, or folder of the segments; what was there from an earlier export is replaced [default:
    /// export/pytorch.safetensors, export/model.onnx or export/segments in the run folder]
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Policy file that goes with it [default: policy.json of the run; without one, the deepest exit]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What a plan computes with
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Folder in which data sets lie, for the ranges of --precision int8
    #[arg(long, env = "OFFRAMP_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Version of ONNX's operators, 13 to 22 [default: 17]
    #[arg(long, value_name = "N")]
    pub opset: Option<Opset>,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

impl ExportArgs {
    /// Whether each segment is to be a graph of its own.
    pub(crate) fn by_segment(&self) -> bool {
        self.segments || self.staged
    }
}

/// What a network can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Tensors under PyTorch's names
    Safetensors,
    /// Graphs for ONNX Runtime and others
    Onnx,
    /// Compiled for the CPU, for `--plan` of predict, bench and serve
    Plan,
}

impl ExportFormat {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
            Self::Plan => "plan",
        }
    }
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What to list
    pub kind: Kind,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// What there are tables of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Network bodies
    Backbones,
    /// Exit heads
    Heads,
    /// Training methods
    Methods,
    /// Data sets
    Datasets,
    /// Exit policies
    Policies,
}

/// Arguments of `data`.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The subcommands of `data`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Download, check and unpack; goes on where an interrupted download stopped
    Fetch(DataTarget),
    /// What it is, where it comes from, whether it is there
    Info(DataTarget),
    /// Check the files that are there
    Verify(DataTarget),
}

/// A data set and where it lies.
#[derive(Debug, Args)]
pub(crate) struct DataTarget {
    /// Name of the data set; `offramp list datasets` shows them
    pub name: String,
    /// Folder in which data sets lie
    #[arg(long, env = "OFFRAMP_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Run folder; an earlier demo in it is replaced
    #[arg(long, default_value = "runs/demo", value_name = "DIR")]
    pub out: PathBuf,
    /// Change a key of the recipe, such as train.epochs=3 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// auto, cpu, ndarray, cuda, cuda:N or wgpu
    #[arg(long, env = DeviceSpec::VARIABLE, default_value_t = DeviceSpec::Auto, value_name = "DEVICE")]
    pub device: DeviceSpec,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let example = format!("offramp {}", command.get_name());
            assert!(
                help.is_some_and(|help| help.contains(&example)),
                "{example}"
            );
        }
    }
}
