//! `offramp import`: weights of another program into a run folder.

use std::path::{Path, PathBuf};

use offramp_backbones::BackboneConfig;
use offramp_core::DeviceSpec;
use offramp_heads::save_model;
use offramp_interop::{ImportOptions, Imported, Rename, WeightFile, import};
use offramp_run::files;
use serde::Serialize;
use serde_json::{Map, Value};

use super::print_json;
use crate::args::ImportArgs;
use crate::error::CliError;

/// Mean and standard deviation of ImageNet's pixels, as torchvision's models expect them.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// The content of `import.json` and of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    /// The run folder.
    run: PathBuf,
    /// The file of weights.
    weights: PathBuf,
    /// Its SHA-256.
    weights_sha256: String,
    backbone: BackboneConfig,
    classes: usize,
    image_size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    /// Tensors that were read.
    tensors: usize,
    /// Tensors of the network that are as in a fresh one.
    left_fresh: Vec<String>,
    /// Tensors of the file that were left out.
    left_out: Vec<String>,
}

/// Reads, matches and writes the run folder, and prints what was done.
pub(crate) fn run(args: &ImportArgs) -> Result<(), CliError> {
    let options = options(args)?;
    let out = out(args)?;
    let file = WeightFile::open(&args.weights)?;
    let Imported { net, card, mapping } = import(&file, &options, &DeviceSpec::Auto.device()?)?;

    let document = Document {
        run: out.clone(),
        weights: args.weights.clone(),
        weights_sha256: files::sha256(file.bytes()),
        backbone: options.backbone,
        classes: card.classes.len(),
        image_size: options.image_size,
        mean: options.mean,
        std: options.std,
        tensors: mapping.pairs.len(),
        left_fresh: mapping.missing.into_iter().map(|left| left.name).collect(),
        left_out: mapping.left_out,
    };
    let json = serde_json::to_vec_pretty(&document).map_err(CliError::Json)?;
    // All or nothing: a folder with half a run in it would be refused the next time.
    files::write_folder_atomic(&out, |folder| {
        save_model(folder, &net, card)?;
        files::write_atomic(&folder.join("import.json"), &json).map_err(CliError::from)
    })?;
    if args.json {
        print_json(&document)
    } else {
        print(args, &document);
        Ok(())
    }
}

fn print(args: &ImportArgs, document: &Document) {
    println!(
        "{} tensors of {} into {}, {} classes",
        document.tensors,
        args.weights.display(),
        document.backbone.name(),
        document.classes,
    );
    for name in &document.left_fresh {
        println!("not in the file, as in a fresh network: {name}");
    }
    let counters = |name: &&String| name.ends_with("num_batches_tracked");
    for name in document.left_out.iter().filter(|name| !counters(name)) {
        println!("left out: {name}");
    }
    if args.mean.is_none() {
        println!(
            "pixels are normalised with ImageNet's mean and deviation; say --mean and --std if the \
             network was trained with others"
        );
    }
    println!("run folder: {}", document.run.display());
}

fn options(args: &ImportArgs) -> Result<ImportOptions, CliError> {
    let backbone = BackboneConfig::named(&args.backbone)?.with_options(settings(&args.set)?)?;
    let classes = match &args.classes {
        Some(path) => {
            let text = files::read_to_string(path)?;
            Some(text.lines().map(|line| line.trim().to_owned()).collect())
        }
        None => None,
    };
    let large = serde_json::to_value(&backbone).map_err(CliError::Json)?["stem"] == "imagenet";
    let usual = if large { 224 } else { 32 };
    let image_size = args.image_size.unwrap_or(usual);
    let renames = args.rename.iter().map(|text| Rename::parse(text));
    Ok(ImportOptions {
        backbone,
        classes,
        num_classes: args.num_classes,
        image_size,
        // The usual evaluation at 224 pixels cuts them out of 256.
        resize: if large {
            image_size * 256 / 224
        } else {
            image_size
        },
        mean: args.mean.unwrap_or(IMAGENET[0]),
        std: args.std.unwrap_or(IMAGENET[1]),
        renames: renames.collect::<Result<_, _>>()?,
        allow_missing: args.allow_missing,
    })
}

/// `shortcut=A` as a table of options; a value is a number, `true`, `false` or else a text.
fn settings(settings: &[String]) -> Result<Map<String, Value>, CliError> {
    let setting = |text: &String| {
        let Some((key, value)) = text.split_once('=') else {
            return Err(CliError::Usage(format!(
                "--set {text:?}: write it as OPTION=VALUE, such as shortcut=A"
            )));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        Ok((key.to_owned(), value))
    };
    settings.iter().map(setting).collect()
}

/// The run folder, which must not hold anything yet.
fn out(args: &ImportArgs) -> Result<PathBuf, CliError> {
    let out = match (&args.out, args.weights.file_stem()) {
        (Some(out), _) => out.clone(),
        (None, Some(stem)) => Path::new("runs").join(stem),
        (None, None) => {
            return Err(CliError::Usage(format!(
                "{} is no file",
                args.weights.display()
            )));
        }
    };
    if out
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        Err(CliError::Usage(format!(
            "{} is not empty; choose another folder with --out",
            out.display()
        )))
    } else {
        Ok(out)
    }
}
