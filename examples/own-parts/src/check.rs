//! Trains the recipes beside this crate and checks that its parts did their work.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use offramp_policies::NamedPolicy as _;
use offramp_run::{Document as _, Metrics, PolicyFile, RunPaths};
use offramp_train::progress::Silent;
use offramp_train::{Recipe, TrainOptions, train};

use crate::policy::ConfidenceSum;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// The share of the full network's cost that the policy may spend.
const BUDGET: &str = "60%";

/// Trains, goes on with an interrupted training, calibrates, exports, distils.
pub fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("own");
    offramp(&["train", &file("recipe.toml"), "--out", text(&own)?])?;
    learned(&own)?;
    goes_on(&own, &folder.path().join("interrupted"))?;

    let policy = ["--policy", ConfidenceSum::NAME, "--max-macs", BUDGET];
    offramp(&[&["calibrate", text(&own)?], &policy[..]].concat())?;
    decides(&own)?;
    offramp(&["export", text(&own)?, "--format", "onnx"])?;

    let student = folder.path().join("student");
    let teacher = format!("teachers.large.run={:?}", text(&own)?);
    let recipe = file("student.toml");
    offramp(&[
        "train",
        &recipe,
        "--out",
        text(&student)?,
        "--set",
        &teacher,
    ])?;
    distilled(&student)
}

/// A file of this crate.
fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn text(path: &Path) -> Result<&str, Box<dyn Error>> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

/// Runs a command of `offramp`.
fn offramp(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let words = ["own-parts"].iter().chain(args);
    let code = offramp_cli::run(words.map(OsString::from));
    ensure(code == ExitCode::SUCCESS, || format!("{args:?} failed"))
}

fn ensure(holds: bool, problem: impl Fn() -> String) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(problem().into()) }
}

fn metrics(run: &Path) -> Result<Metrics, Box<dyn Error>> {
    Ok(Metrics::read(&RunPaths::new(run).metrics())?)
}

fn value(values: &BTreeMap<String, f64>, name: &str) -> Result<f64, Box<dyn Error>> {
    let value = values.get(name).copied();
    value.ok_or_else(|| format!("{name} is not in metrics.jsonl").into())
}

/// The losses of the method fell, the network is better than chance, and the method's parameters moved.
fn learned(run: &Path) -> Result<(), Box<dyn Error>> {
    let metrics = metrics(run)?;
    let [first, .., last] = &metrics.epochs[..] else {
        return Err("fewer than two epochs were logged".into());
    };
    for exit in 0..3 {
        let name = format!("focal/{exit}");
        let (before, after) = (value(&first.terms, &name)?, value(&last.terms, &name)?);
        ensure(after < before, || {
            format!("{name} went from {before} to {after}")
        })?;
        let weight = value(&last.scalars, &format!("weight/{exit}"))?;
        ensure(weight != 1.0, || {
            format!("the weight of exit {exit} is still 1")
        })?;
    }
    let end = metrics.last.ok_or("the training did not end")?;
    let top1 = end.test.exits.last().map_or(0.0, |exit| exit.top1);
    ensure(top1 > 20.0, || format!("{top1} % of ten classes are known"))
}

/// A training that is interrupted and resumed ends with the same weights: optimiser and checkpoint hold
/// the method's parameters.
fn goes_on(whole: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let recipe = Recipe::load::<&str>(file("recipe.toml").as_ref(), &[])?;
    for (resume, stop_after_steps) in [(false, Some(100)), (true, None)] {
        let options = TrainOptions {
            out: out.to_owned(),
            resume,
            data_root: None,
            device: None,
            progress: &mut Silent,
            stop_after_steps,
        };
        train(&recipe, options)?;
    }
    let weights = |run| std::fs::read(RunPaths::new(run).weights());
    let equal = weights(whole)? == weights(out)?;
    ensure(equal, || {
        "the resumed training has other weights".to_owned()
    })?;
    let weight =
        |run| Ok::<_, Box<dyn Error>>(metrics(run)?.epochs.pop().map(|epoch| epoch.scalars));
    let equal = weight(whole)? == weight(out)?;
    ensure(equal, || {
        "the resumed method has other parameters".to_owned()
    })
}

/// The policy in the run folder is ours, and images leave at more than one exit.
fn decides(run: &Path) -> Result<(), Box<dyn Error>> {
    let file = PolicyFile::read(&RunPaths::new(run).document::<PolicyFile>())?;
    let name = file.policy.name();
    ensure(name == ConfidenceSum::NAME, || {
        format!("the policy is {name}")
    })?;
    let shares = file.expected.exit_fractions;
    let used = shares.iter().filter(|share| **share > 0.0).count();
    ensure(used > 1, || format!("the images leave at {shares:?}"))
}

/// The distiller's terms are there and fell.
fn distilled(run: &Path) -> Result<(), Box<dyn Error>> {
    let metrics = metrics(run)?;
    let [first, .., last] = &metrics.steps[..] else {
        return Err("fewer than two steps were logged".into());
    };
    let (before, after) = (
        value(&first.terms, "logits/2")?,
        value(&last.terms, "logits/2")?,
    );
    ensure(after < before, || {
        format!("logits/2 went from {before} to {after}")
    })
}
