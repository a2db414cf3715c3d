//! The folder of a run.

use std::fs::File;
use std::path::{Path, PathBuf};

use offramp_core::files::{self, FileError};

use crate::recipe::Recipe;
use crate::{RunError, TrainError};

/// The folder that holds everything about a run:
///
/// | file | what |
/// |---|---|
/// | `recipe.toml` | the resolved recipe |
/// | `metrics.jsonl` | one JSON object per line: `kind` is `step`, `epoch`, `eval` or `final` |
/// | `log.txt` | what happened, in words |
/// | `checkpoints/` | see [`checkpoint`](crate::checkpoint) |
/// | `model.safetensors`, `model.json` | the network, when the run is finished |
/// | `eval.json` | its [`EvalReport`](crate::EvalReport) on the test images |
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock of the run; the system releases it when the process ends in any way.
    _lock: File,
}

impl RunFolder {
    /// Begins a new run. The files of a run that ended before its first result, for example because its
    /// data were not found, are overwritten.
    ///
    /// # Errors
    /// When the folder holds a run or other files, or cannot be written.
    pub fn create(path: &Path, recipe: &Recipe) -> Result<Self, TrainError> {
        if holds_results(path) {
            return Err(RunError::Exists { path: path.into() }.into());
        }
        if path
            .read_dir()
            .is_ok_and(|mut all| all.any(|entry| !is_beginning(entry)))
        {
            return Err(RunError::NotEmpty { path: path.into() }.into());
        }
        let folder = Self::lock(path)?;
        let recipe = recipe.to_toml()?;
        files::write_atomic(&folder.recipe(), recipe.as_bytes())?;
        Ok(folder)
    }

    /// Reopens a run that was begun with the same recipe.
    ///
    /// # Errors
    /// When there is none, its recipe is another one, or another process trains in it.
    pub fn reopen(path: &Path, recipe: &Recipe) -> Result<Self, TrainError> {
        if !path.join("recipe.toml").exists() {
            return Err(RunError::Nothing { path: path.into() }.into());
        }
        let folder = Self::lock(path)?;
        let recorded = Recipe::load::<&str>(&folder.recipe(), &[])?;
        match recorded.difference(recipe)? {
            None => Ok(folder),
            Some(difference) => Err(RunError::OtherRecipe {
                path: folder.recipe(),
                key: difference.key,
                recorded: difference.first,
                given: difference.second,
            }
            .into()),
        }
    }

    fn lock(path: &Path) -> Result<Self, TrainError> {
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            |source| FileError::Write { path, source }
        };
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(unwritable(&checkpoints))?;
        let lock = path.join(".lock");
        let file = File::create(&lock).map_err(unwritable(&lock))?;
        // A file system without locks is no reason not to train.
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(RunError::Busy { path: path.into() }.into());
        }
        remove_unfinished(path);
        remove_unfinished(&checkpoints);
        Ok(Self {
            path: path.to_owned(),
            _lock: file,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved recipe.
    pub fn recipe(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// The metrics.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The evaluation on the test images.
    pub fn eval(&self) -> PathBuf {
        self.path.join("eval.json")
    }
}

fn holds_results(path: &Path) -> bool {
    let not_empty = |file: &str| path.join(file).metadata().is_ok_and(|file| file.len() > 0);
    let checkpoints = path.join("checkpoints").read_dir();
    let any = checkpoints.is_ok_and(|mut all| all.any(|entry| !is_beginning(entry)));
    not_empty("metrics.jsonl") || not_empty("model.json") || any
}

/// Removes the temporary files of a process that was killed while it wrote. To be called with the
/// lock held, so that no other process is writing.
fn remove_unfinished(folder: &Path) {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    for entry in entries.filter(|e| e.file_name().to_string_lossy().starts_with(".tmp-")) {
        // A file that cannot be removed does no harm.
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Whether a file may have been left by a run that ended before its first result.
fn is_beginning(entry: std::io::Result<std::fs::DirEntry>) -> bool {
    entry.is_ok_and(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        const FILES: [&str; 5] = [
            ".lock",
            "checkpoints",
            "log.txt",
            "metrics.jsonl",
            "recipe.toml",
        ];
        FILES.contains(&name.as_ref()) || name.starts_with(".tmp-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(seed: u64) -> Recipe {
        Recipe {
            name: "r".into(),
            seed,
            ..Recipe::default()
        }
    }

    #[test]
    fn a_run_is_neither_overwritten_nor_entered_twice() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/run");
        let missing = RunFolder::reopen(&path, &recipe(0)).unwrap_err();
        assert!(missing.to_string().contains("a/run"), "{missing}");
        let folder = RunFolder::create(&path, &recipe(0)).unwrap();
        std::fs::write(folder.metrics(), "{}\n").unwrap();
        let exists = RunFolder::create(&path, &recipe(0))
            .unwrap_err()
            .to_string();
        assert!(exists.contains("--resume"), "{exists}");
        let busy = RunFolder::reopen(&path, &recipe(0))
            .unwrap_err()
            .to_string();
        assert!(busy.contains("another process"), "{busy}");
        drop(folder);
        RunFolder::reopen(&path, &recipe(0)).unwrap();
        let other = RunFolder::reopen(&path, &recipe(5))
            .unwrap_err()
            .to_string();
        assert!(other.contains("`seed`") && other.contains('5'), "{other}");
    }

    #[test]
    fn a_folder_of_other_things_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        let error = RunFolder::create(folder.path(), &recipe(0)).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }

    #[test]
    fn a_run_that_ended_before_its_first_result_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunFolder::lock(folder.path()).unwrap());
        std::fs::write(folder.path().join(".tmp-abc"), "x").unwrap();
        drop(RunFolder::create(folder.path(), &recipe(0)).unwrap());
        assert!(!folder.path().join(".tmp-abc").exists());
        RunFolder::create(folder.path(), &recipe(1)).unwrap();
    }

    #[test]
    fn keys_without_effect_may_change() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        drop(RunFolder::create(&path, &recipe(0)).unwrap());
        let mut other = recipe(0);
        other.train.workers = 7;
        other.device = offramp_core::DeviceSpec::Cpu;
        RunFolder::reopen(&path, &other).unwrap();
    }
}
