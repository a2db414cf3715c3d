//! From a run folder, or the file of a plan, to a network that answers images.

use std::path::{Path, PathBuf};

use offramp_executor::{About, MultiExitPlan, Options};
use offramp_run::files::folder_of;
use offramp_run::{ChosenPolicy, Document, ModelCard, RunPaths};

use crate::{Error, Network};

/// The largest batch and number of threads, as on the command line.
const MOST_IMAGES: usize = 65_536;
const MOST_THREADS: usize = 1024;

/// What [`load_with`] may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// A policy of the network in place of the run's `policy.json`.
    pub policy: Option<PathBuf>,
    /// A plan of the network in place of those in `export/`.
    pub plan: Option<PathBuf>,
    /// The most images that are computed together, 1 to 65,536.
    pub batch: usize,
    /// Threads, 1 to 1024; all processors if not given.
    pub threads: Option<usize>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            policy: None,
            plan: None,
            batch: 64,
            threads: None,
        }
    }
}

/// The network of a run folder, or of the file of a plan, with the policy that goes with it.
///
/// The network is `export/f32.plan`, else `export/int8.plan`, as `offramp export RUN --format plan` writes them;
/// else, with the feature `model`, it is compiled from `model.json` and `model.safetensors`. The policy is
/// `policy.json` in the run folder, or beside the file of the plan; without it every image goes to the deepest
/// exit.
///
/// ```no_run
/// let mut net = offramp::load("runs/demo")?;
/// let answer = net.predict("cat.png")?;
/// println!("{} ({:.3}), exit {}", answer.class, answer.confidence, answer.exit);
/// # Ok::<(), offramp::Error>(())
/// ```
///
/// # Errors
/// When there is no network, or a file is damaged, of another version or of another network.
pub fn load(run: impl AsRef<Path>) -> Result<Network, Error> {
    load_with(run, &LoadOptions::default())
}

/// As [`load`], with another policy or plan, for another batch or number of threads.
///
/// ```no_run
/// use offramp::LoadOptions;
///
/// let options = LoadOptions {
///     policy: Some("cheap.json".into()),
///     threads: Some(2),
///     ..LoadOptions::default()
/// };
/// let mut net = offramp::load_with("runs/demo", &options)?;
/// # Ok::<(), offramp::Error>(())
/// ```
///
/// # Errors
/// As [`load`], and [`Error::Option`] for a batch or a number of threads out of range.
pub fn load_with(run: impl AsRef<Path>, options: &LoadOptions) -> Result<Network, Error> {
    let run = run.as_ref();
    let threads = options
        .threads
        .unwrap_or_else(|| Options::default().threads);
    in_range("batch", options.batch, MOST_IMAGES)?;
    in_range("threads", threads, MOST_THREADS)?;
    if !run.exists() {
        return Err(Error::NoRun {
            path: run.to_owned(),
        });
    }
    let plan = match options.plan.clone().or_else(|| exported(run)) {
        Some(path) => read(&path, run)?,
        None => compiled(run, options.batch, threads)?,
    };
    let (plan, about) = plan;
    let plan = plan.with_batch(options.batch).with_threads(threads);
    let (exits, classes) = (plan.num_exits(), about.classes.len());
    let given = options.policy.as_deref();
    let folder = if run.is_file() { folder_of(run) } else { run };
    let policy = ChosenPolicy::choose(folder, given, &about.model, exits, classes)?;
    Network::new(plan, about, policy)
}

fn in_range(key: &'static str, value: usize, most: usize) -> Result<(), Error> {
    if (1..=most).contains(&value) {
        Ok(())
    } else {
        Err(Error::Option { key, value, most })
    }
}

/// The plan at the path itself, else the one that the run was exported to.
fn exported(run: &Path) -> Option<PathBuf> {
    if run.is_file() {
        return Some(run.to_owned());
    }
    let export = RunPaths::new(run).export();
    ["f32.plan", "int8.plan"]
        .map(|name| export.join(name))
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok())
}

/// Maps a plan, which must be of the run's network where `model.json` says which that is.
fn read(path: &Path, run: &Path) -> Result<(MultiExitPlan, About), Error> {
    let plan = MultiExitPlan::load(path)?;
    let Some(about) = plan.about().cloned() else {
        return Err(Error::Unnamed {
            path: path.to_owned(),
        });
    };
    if run.is_dir()
        && let Some(card) = <ModelCard>::find(run)?
        && card.sha256 != about.model
    {
        let short = |sha256: &str| sha256.chars().take(12).collect();
        return Err(Error::OtherPlan {
            path: path.to_owned(),
            found: short(&about.model),
            expected: short(&card.sha256),
        });
    }
    Ok((plan, about))
}

#[cfg(feature = "model")]
fn compiled(run: &Path, batch: usize, threads: usize) -> Result<(MultiExitPlan, About), Error> {
    if !RunPaths::new(run).weights().exists() {
        return Err(Error::NoPlan {
            run: run.to_owned(),
        });
    }
    crate::compile::compile(run, batch, threads)
}

#[cfg(not(feature = "model"))]
fn compiled(run: &Path, _batch: usize, _threads: usize) -> Result<(MultiExitPlan, About), Error> {
    Err(Error::NoPlan {
        run: run.to_owned(),
    })
}
