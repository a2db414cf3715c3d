//! `offramp export`: a network for other programs.

use std::path::{Path, PathBuf};

use offramp_core::DeviceSpec;
use offramp_heads::{ModelCard, MultiExitNet, load_model};
use offramp_interop::export::{self, ChainPolicy, Description, OnnxSegments, Opset};
use offramp_run::files::{self, FileError};
use offramp_run::{ChosenPolicy, Document as _, PolicyFile, RecipeText, RunPaths};
use serde::Serialize;

use super::{policy, print_json};
use crate::args::{ExportArgs, ExportFormat};
use crate::error::CliError;
use crate::precision::{self, Precision};
use crate::run::Run;

/// Images per run of a plan; a program that loads it can choose another number.
const PLAN_BATCH: usize = 64;

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    /// The run folder.
    run: PathBuf,
    format: &'static str,
    /// The files, in the order of computation, and the JSON of a chain.
    files: Vec<PathBuf>,
    /// Names of the logits.
    exits: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ir_version: Option<i64>,
}

/// Writes the files and prints their names.
pub(crate) fn run(args: &ExportArgs) -> Result<(), CliError> {
    check(args)?;
    let (net, card) = load_model(&args.run, &DeviceSpec::Auto.device()?)?;
    let recipe = RunPaths::new(&args.run).recipe();
    let recipe = if recipe.exists() {
        Some(files::read_to_string(&recipe)?)
    } else {
        None
    };
    let description = Description::new(&net, &card, recipe);
    let out = out(args);
    protect(&args.run, &out)?;
    let mut document = Document {
        run: args.run.clone(),
        format: "safetensors",
        files: vec![out.clone()],
        exits: description
            .exits
            .iter()
            .map(|exit| exit.output.clone())
            .collect(),
        policy: None,
        opset: None,
        ir_version: None,
    };
    match args.format {
        ExportFormat::Safetensors => {
            write(&out, &export::state_dict(&net, &description)?)?;
        }
        ExportFormat::Onnx => {
            let chosen = policy::choose(&args.run, args.policy.as_deref(), &card, net.num_exits())?;
            let opset = args.opset.unwrap_or_default();
            document.format = "onnx";
            document.opset = Some(opset.version());
            document.ir_version = Some(opset.ir_version());
            document.policy = Some(chosen.origin.clone());
            document.files = onnx(args.by_segment(), &out, &net, &description, chosen, opset)?;
        }
        ExportFormat::Plan => {
            document.format = "plan";
            plan(args, &out)?;
        }
    }
    if args.json {
        print_json(&document)
    } else {
        print(&document);
        Ok(())
    }
}

/// Options that belong to another format.
fn check(args: &ExportArgs) -> Result<(), CliError> {
    let onnx = args.format == ExportFormat::Onnx;
    let given = [
        ("--segments", args.segments && !onnx, "onnx"),
        ("--staged", args.staged && !onnx, "onnx"),
        ("--policy", args.policy.is_some() && !onnx, "onnx"),
        ("--opset", args.opset.is_some() && !onnx, "onnx"),
        (
            "--precision int8",
            args.precision == Precision::Int8 && args.format != ExportFormat::Plan,
            "plan",
        ),
    ];
    match given.into_iter().find(|(_, wrong, _)| *wrong) {
        Some((option, _, format)) => Err(CliError::Usage(format!(
            "{option} is for --format {format}; --format {} has no use for it",
            args.format.name()
        ))),
        None => Ok(()),
    }
}

fn out(args: &ExportArgs) -> PathBuf {
    let name = match (args.format, args.by_segment()) {
        (ExportFormat::Safetensors, _) => "pytorch.safetensors",
        (ExportFormat::Onnx, false) => "model.onnx",
        (ExportFormat::Onnx, true) if args.segments => "segments",
        // Scripts of before find the folder where it was.
        (ExportFormat::Onnx, true) => "staged",
        (ExportFormat::Plan, _) => match args.precision {
            Precision::F32 => "f32.plan",
            Precision::Int8 => "int8.plan",
        },
    };
    let default = || RunPaths::new(&args.run).export().join(name);
    args.out.clone().unwrap_or_else(default)
}

/// The files of the run itself are not written over.
fn protect(run: &Path, out: &Path) -> Result<(), CliError> {
    let own = [
        RunPaths::WEIGHTS,
        ModelCard::FILE,
        RecipeText::FILE,
        PolicyFile::FILE,
    ];
    let same = |name: &&str| match (run.join(name).canonicalize(), out.canonicalize()) {
        (Ok(own), Ok(out)) => own == out,
        _ => false,
    };
    match own.iter().find(|name| same(name)) {
        Some(name) => Err(CliError::Usage(format!(
            "{} is the run's own {name}; choose another file with --out",
            out.display()
        ))),
        None => Ok(()),
    }
}

fn onnx(
    by_segment: bool,
    out: &Path,
    net: &MultiExitNet,
    description: &Description,
    chosen: ChosenPolicy,
    opset: Opset,
) -> Result<Vec<PathBuf>, CliError> {
    if chosen.rule.readout.ensemble.is_some() {
        return Err(CliError::Usage(format!(
            "{}: the policy puts the answers of several exits together, and an export has no place for \
             that; run `offramp calibrate` without --ensemble",
            chosen.origin
        )));
    }
    let policy = ChainPolicy {
        policy: chosen.rule.policy,
        temperatures: chosen.rule.readout.temperatures,
    };
    if !by_segment {
        write(out, &export::onnx(net, description, &policy, opset)?)?;
        return Ok(vec![out.to_owned()]);
    }
    let chain = export::onnx_segments(net, description, &policy, opset)?;
    files::write_folder_atomic(out, |folder| {
        chain.write(folder)?;
        // Only now: with a full disk the earlier chain would be gone and no new one there.
        remove_earlier(out)
    })?;
    let segments = chain
        .file
        .segments
        .iter()
        .map(|segment| segment.file.as_str());
    Ok(segments
        .chain([OnnxSegments::JSON])
        .map(|name| out.join(name))
        .collect())
}

/// Compiles the network for the CPU.
fn plan(args: &ExportArgs, out: &Path) -> Result<(), CliError> {
    let run = Run::open(&args.run, DeviceSpec::Auto)?;
    let rows = precision::calibration_rows(&run, args.precision, args.data.as_deref())?;
    let plan = precision::plan(&run, rows.as_deref(), PLAN_BATCH, None)?;
    files::create_folder(files::folder_of(out))?;
    Ok(plan.save(out)?)
}

/// Removes an earlier chain, and refuses a folder of other things.
fn remove_earlier(out: &Path) -> Result<(), CliError> {
    let entries: Vec<PathBuf> = match out.read_dir() {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => return Ok(()),
    };
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = |start: &str| name.starts_with(start) && name.ends_with(".onnx");
        // Until format 2 it was `staged.json` and `stage0.onnx`, ...
        name == OnnxSegments::JSON || name == "staged.json" || part("segment") || part("stage")
    };
    if let Some(other) = entries.iter().find(|path| !ours(path)) {
        return Err(CliError::Usage(format!(
            "{} holds {}, which no export wrote; choose another folder with --out",
            out.display(),
            other.file_name().unwrap_or_default().to_string_lossy()
        )));
    }
    for path in entries {
        std::fs::remove_file(&path).map_err(|source| FileError::Write { path, source })?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    files::create_folder(files::folder_of(path))?;
    Ok(files::write_atomic(path, bytes)?)
}

fn print(document: &Document) {
    for file in &document.files {
        println!("{}", file.display());
    }
    if let (Some(opset), Some(ir_version)) = (document.opset, document.ir_version) {
        println!("ONNX opset {opset}, IR version {ir_version}");
    }
    if let Some(policy) = &document.policy {
        println!("policy: {policy}");
    }
}
