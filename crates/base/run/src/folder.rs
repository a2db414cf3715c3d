//! What lies where in the folder of a run.

use std::path::{Path, PathBuf};

use crate::document::Document;
use crate::eval::EvalReport;
use crate::metrics::Metrics;
use crate::model::ModelCard;
use crate::recipe::RecipeText;
use crate::temporary::is_temporary_in_run;

/// Paths in the folder of a run:
///
/// | file | what | written by |
/// |---|---|---|
/// | `recipe.toml` | the resolved recipe | `train` |
/// | `metrics.jsonl` | [`Record`](crate::Record)s, one a line | `train` |
/// | `log.txt` | what happened, in words, for people alone | `train` |
/// | `checkpoints/` | everything that is needed to go on | `train` |
/// | `model.safetensors`, `model.json` | the network and its [`ModelCard`] | `train`, `import` |
/// | `eval.json` | its [`EvalReport`] on the test rows | `train`, `eval` |
/// | `policy.json` | the [`PolicyFile`](crate::PolicyFile) | `calibrate` |
/// | `calibrate.json` | the [`Calibration`](crate::Calibration) | `calibrate --json > ...` |
/// | `latency.json` | the [`Latency`](crate::Latency) | `bench` |
/// | `rows.json` | [`Rows`](crate::Rows) | `report --measure` |
/// | `gallery.json` | the [`Gallery`](crate::Gallery) | `report --measure` |
/// | `outputs/` | answers on training images, for students | `train` of a student |
/// | `export/` | the network for other programs | `export` |
/// | `.lock` | held while the run is trained | `train` |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths {
    folder: PathBuf,
}

/// Names of the files of a run that has not got any result yet.
const BEGINNING: [&str; 5] = [
    RunPaths::LOCK,
    RunPaths::CHECKPOINTS,
    RunPaths::LOG,
    Metrics::FILE,
    RecipeText::FILE,
];

impl RunPaths {
    /// Name of the log.
    pub const LOG: &str = "log.txt";
    /// Name of the folder of checkpoints.
    pub const CHECKPOINTS: &str = "checkpoints";
    /// Name of the weights.
    pub const WEIGHTS: &str = "model.safetensors";
    /// Name of the file that is locked while the run is trained.
    pub const LOCK: &str = ".lock";
    /// Name of the folder of answers on training images.
    pub const OUTPUTS: &str = "outputs";
    /// Name of the folder of exports.
    pub const EXPORT: &str = "export";

    /// Files of which every run has at least one.
    pub const MARKS: [&str; 4] = [
        RecipeText::FILE,
        Metrics::FILE,
        <ModelCard>::FILE,
        EvalReport::FILE,
    ];

    /// The paths in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The resolved recipe.
    pub fn recipe(&self) -> PathBuf {
        self.folder.join(RecipeText::FILE)
    }

    /// The metrics.
    pub fn metrics(&self) -> PathBuf {
        self.folder.join(Metrics::FILE)
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.folder.join(Self::LOG)
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.folder.join(Self::CHECKPOINTS)
    }

    /// The weights.
    pub fn weights(&self) -> PathBuf {
        self.folder.join(Self::WEIGHTS)
    }

    /// The file that is locked while the run is trained.
    pub fn lock(&self) -> PathBuf {
        self.folder.join(Self::LOCK)
    }

    /// The folder of answers on training images.
    pub fn outputs(&self) -> PathBuf {
        self.folder.join(Self::OUTPUTS)
    }

    /// The folder of exports.
    pub fn export(&self) -> PathBuf {
        self.folder.join(Self::EXPORT)
    }

    /// A document.
    pub fn document<D: Document>(&self) -> PathBuf {
        self.folder.join(D::FILE)
    }

    /// Whether it is the folder of a run at all.
    pub fn is_run(&self) -> bool {
        Self::MARKS
            .iter()
            .any(|mark| self.folder.join(mark).is_file())
    }

    /// Whether a training has left any result.
    pub fn holds_results(&self) -> bool {
        let not_empty = |path: PathBuf| path.metadata().is_ok_and(|file| file.len() > 0);
        let checkpoints = self.checkpoints().read_dir();
        let any = checkpoints.is_ok_and(|mut all| all.any(|entry| !is_beginning(entry)));
        not_empty(self.metrics()) || not_empty(self.document::<ModelCard>()) || any
    }

    /// Whether there is nothing in the folder but what a run leaves that ends before its first result.
    pub fn is_beginning(&self) -> bool {
        let found = self.folder.read_dir();
        found.map_or(true, |mut all| all.all(is_beginning))
    }
}

fn is_beginning(entry: std::io::Result<std::fs::DirEntry>) -> bool {
    entry.is_ok_and(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        BEGINNING.contains(&name.as_ref()) || is_temporary_in_run(&name)
    })
}

/// Name of the checkpoint after `step` steps.
pub fn checkpoint_name(step: u64) -> String {
    format!("step-{step:08}.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_told_from_results() {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::new(folder.path());
        assert!(!paths.is_run() && !paths.holds_results() && paths.is_beginning());
        std::fs::create_dir(paths.checkpoints()).unwrap();
        std::fs::write(paths.recipe(), "seed = 1").unwrap();
        std::fs::write(folder.path().join(".offramp-1-2.tmp"), "half").unwrap();
        assert!(paths.is_run() && !paths.holds_results() && paths.is_beginning());
        std::fs::write(paths.checkpoints().join(checkpoint_name(3)), "x").unwrap();
        assert!(paths.holds_results());
        std::fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        assert!(!paths.is_beginning());
    }
}
