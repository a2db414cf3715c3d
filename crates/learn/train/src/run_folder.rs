//! The folder of a run.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use offramp_run::files::{self, FileError};
use offramp_run::{RunPaths, remove_stale_in_run};

use crate::recipe::Recipe;
use crate::{RunError, TrainError};

/// The folder of a run while it is trained; [`RunPaths`] says what lies where.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    /// The lock of the run; the system releases it when the process ends in any way.
    _lock: File,
}

impl Deref for RunFolder {
    type Target = RunPaths;

    fn deref(&self) -> &RunPaths {
        &self.paths
    }
}

impl RunFolder {
    /// Begins a new run. The files of a run that ended before its first result, for example because its
    /// data were not found, are overwritten.
    ///
    /// # Errors
    /// When the folder holds a run or other files, or cannot be written.
    pub fn create(path: &Path, recipe: &Recipe) -> Result<Self, TrainError> {
        let paths = RunPaths::new(path);
        if paths.holds_results() {
            return Err(RunError::Exists { path: path.into() }.into());
        }
        if !paths.is_beginning() {
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
        if !RunPaths::new(path).recipe().exists() {
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
        let paths = RunPaths::new(path);
        files::create_folder(&paths.checkpoints())?;
        let lock = paths.lock();
        let file = File::create(&lock).map_err(|source| FileError::Write { path: lock, source })?;
        // A file system without locks is no reason not to train.
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(RunError::Busy { path: path.into() }.into());
        }
        for folder in [
            path,
            &paths.checkpoints(),
            &paths.outputs(),
            &paths.export(),
        ] {
            remove_stale_in_run(folder);
        }
        Ok(Self { paths, _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

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
        RunFolder::create(folder.path(), &recipe(1)).unwrap();
    }

    #[test]
    fn what_earlier_versions_left_is_removed_everywhere() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        drop(RunFolder::create(&path, &recipe(0)).unwrap());
        let folders = ["", "checkpoints", "outputs", "export"].map(|name| path.join(name));
        let long_ago = SystemTime::now() - Duration::from_secs(7200);
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
            let file = File::create(folder.join(".tmp-abc")).unwrap();
            file.set_modified(long_ago).unwrap();
            std::fs::write(folder.join(".tmp-new"), "x").unwrap();
        }
        drop(RunFolder::reopen(&path, &recipe(0)).unwrap());
        for folder in &folders {
            assert!(!folder.join(".tmp-abc").exists(), "{}", folder.display());
            assert!(folder.join(".tmp-new").exists(), "{}", folder.display());
        }
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
