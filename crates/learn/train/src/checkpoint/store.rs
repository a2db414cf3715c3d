//! The folder of a run's checkpoints: which are kept, and the newest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Checkpoint, CheckpointError, Kept, Position, file};

/// The folder of a run's checkpoints.
///
/// There is no separate file for the best one: it is the checkpoint of the best validation, and
/// it stays as long as a kept checkpoint refers to it. So whichever checkpoint a run is resumed
/// from, the best one it knew is there.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointStore {
    folder: PathBuf,
    keep_last: usize,
}

impl CheckpointStore {
    /// The checkpoints in `folder`, of which the last `keep_last` are kept.
    pub(crate) fn new(folder: PathBuf, keep_last: usize) -> Self {
        Self { folder, keep_last }
    }

    /// The file of the checkpoint after `step` steps.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(offramp_run::checkpoint_name(step))
    }

    /// Writes a checkpoint, then removes those that are no longer kept. Returns what is there now.
    ///
    /// # Errors
    /// When it cannot be written; nothing is removed then.
    pub(crate) fn put(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<(PathBuf, Vec<Kept>), CheckpointError> {
        let position = &checkpoint.position;
        let path = self.path(position.step);
        file::write(&path, checkpoint)?;
        let there = self.kept(position);
        let newest = there.iter().rev().take(self.keep_last);
        let wanted: BTreeSet<u64> = newest
            .flat_map(|k| k.best.into_iter().chain([k.step]))
            .collect();
        let (kept, dropped): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|k| wanted.contains(&k.step));
        for old in dropped {
            let old = self.path(old.step);
            if let Err(error) = std::fs::remove_file(&old) {
                tracing::warn!(
                    "cannot remove the old checkpoint {}: {error}",
                    old.display()
                );
            }
        }
        Ok((path, kept))
    }

    /// The checkpoints on the disk among those that `position` knows, itself included.
    pub(crate) fn kept(&self, position: &Position) -> Vec<Kept> {
        let mut kept = position.kept.clone();
        kept.retain(|kept| kept.step < position.step && self.path(kept.step).exists());
        kept.push(Kept {
            step: position.step,
            best: position.best.map(|best| best.step),
        });
        kept
    }

    /// The steps of all checkpoints on the disk, in ascending order.
    pub(crate) fn steps(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut steps: Vec<u64> = entries
            .flatten()
            .filter_map(|entry| step_of(&entry.path()))
            .collect();
        steps.sort_unstable();
        steps
    }

    /// Reads the newest checkpoint; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read. An older one never silently takes its place: the error names the
    /// newest older one that can be read, which is used once the damaged file is deleted.
    pub(crate) fn newest(&self) -> Result<Option<(PathBuf, Checkpoint)>, CheckpointError> {
        let mut steps = self.steps();
        let Some(path) = steps.pop().map(|step| self.path(step)) else {
            return Ok(None);
        };
        let error = match file::read(&path) {
            Ok(checkpoint) => return Ok(Some((path, checkpoint))),
            Err(error) => error,
        };
        let older = steps.into_iter().rev().map(|step| self.path(step));
        Err(
            match older.into_iter().find(|path| file::read(path).is_ok()) {
                Some(older) => CheckpointError::OlderUsable {
                    source: Box::new(error),
                    older,
                },
                None => error,
            },
        )
    }
}

fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("step-")?
        .strip_suffix(".safetensors")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::BestSoFar;
    use super::super::file::tests::example;
    use super::*;

    /// Puts checkpoints of steps 1 to n; `best` says for each which step is the best so far.
    fn fill(store: &CheckpointStore, best: &[u64]) -> Vec<u64> {
        let mut kept = Vec::new();
        for (step, best) in (1..).zip(best) {
            let mut checkpoint = example(step);
            checkpoint.position.kept = kept;
            checkpoint.position.best = Some(BestSoFar {
                step: *best,
                epoch: 0,
                top1: 1.0,
            });
            kept = store.put(&checkpoint).unwrap().1;
        }
        store.steps()
    }

    #[test]
    fn the_last_ones_and_their_best_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().to_owned(), 2);
        assert_eq!(fill(&store, &[1, 1, 3, 3, 3, 3]), [3, 5, 6]);
        // Step 6 is the new best, but step 5, still kept, knows only step 3.
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().to_owned(), 2);
        assert_eq!(fill(&store, &[1, 1, 3, 3, 3, 6]), [3, 5, 6]);
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().to_owned(), 1);
        assert_eq!(fill(&store, &[1, 1, 3, 3, 3, 6]), [6]);
    }

    #[test]
    fn a_damaged_newest_one_names_the_older_one_and_deleting_it_falls_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().to_owned(), 2);
        assert!(store.newest().unwrap().is_none());
        fill(&store, &[1, 1]);
        assert_eq!(store.newest().unwrap().unwrap().1.position.step, 2);
        let mut bytes = std::fs::read(store.path(2)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(store.path(2), bytes).unwrap();
        let error = store.newest().unwrap_err().to_string();
        assert!(error.contains("step-00000002"), "{error}");
        assert!(error.contains("step-00000001"), "{error}");
        std::fs::remove_file(store.path(2)).unwrap();
        assert_eq!(store.newest().unwrap().unwrap().1.position.step, 1);
    }

    #[test]
    fn a_failed_write_keeps_the_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().to_owned(), 1);
        fill(&store, &[1]);
        // A folder in the way stands for the full disk: the rename fails.
        std::fs::create_dir(store.path(2)).unwrap();
        std::fs::write(store.path(2).join("x"), "").unwrap();
        let mut checkpoint = example(2);
        checkpoint.position.kept = vec![Kept {
            step: 1,
            best: None,
        }];
        let error = store.put(&checkpoint).unwrap_err().to_string();
        assert!(error.contains("step-00000002"), "{error}");
        assert!(file::read(&store.path(1)).is_ok());
    }
}
