//! The file `metrics.jsonl`, which a resumed run truncates to the length that its checkpoint records.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use offramp_run::files::FileError;

use super::{Record, StartRecord};

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The first line, written with the line after it: a run without results leaves an empty file.
    start: Option<StartRecord>,
}

impl MetricsFile {
    /// Opens the file and cuts it to its first `bytes` bytes, so that what an interrupted run
    /// wrote after its last checkpoint is not there twice.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<Self, FileError> {
        let attempt = || {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).read(true).open(path)?;
            let length = file.metadata()?.len();
            if length < bytes {
                tracing::warn!(
                    "{} has {length} bytes, the checkpoint knows of {bytes}: lines are missing",
                    path.display()
                );
            }
            let bytes = bytes.min(length);
            file.set_len(bytes)?;
            Ok((file, bytes))
        };
        let (file, bytes) = attempt().map_err(|source| FileError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            start: None,
        })
    }

    /// Begins an empty file with a line about the run.
    #[must_use]
    pub(crate) fn with_start(mut self, start: StartRecord) -> Self {
        self.start = Some(start).filter(|_| self.bytes == 0);
        self
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When the file cannot be written; what is in it stays.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), FileError> {
        let mut attempt = || {
            let start = self.start.take().map(Record::Start);
            let mut lines = Vec::new();
            for record in start.iter().chain([record]) {
                serde_json::to_writer(&mut lines, record)?;
                lines.push(b'\n');
            }
            self.file.write_all(&lines)?;
            self.bytes += lines.len() as u64;
            Ok(())
        };
        attempt().map_err(|source| FileError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Flushes to the disk, before a checkpoint records the length.
    ///
    /// # Errors
    /// When the file system reports an error.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|source| FileError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{StepValues, Sums};
    use super::*;

    fn record(loss: f64) -> Record {
        let mut sums = Sums::default();
        sums.add(&StepValues {
            loss,
            ..StepValues::default()
        });
        Record::Step(sums.record(1, 0.5, 0.1))
    }

    #[test]
    fn a_run_begins_with_its_start_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let start = || StartRecord {
            format: offramp_run::METRICS_FORMAT,
            device: "cpu".into(),
        };
        let file = MetricsFile::open(&path, 0).unwrap().with_start(start());
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"", "no result yet");
        let mut file = MetricsFile::open(&path, 0).unwrap().with_start(start());
        file.append(&record(1.0)).unwrap();
        let known = file.bytes();
        drop(file);
        let mut file = MetricsFile::open(&path, known).unwrap().with_start(start());
        file.append(&record(2.0)).unwrap();
        let found = offramp_run::Metrics::read(&path).unwrap();
        assert_eq!((found.start, found.steps.len()), (Some(start()), 2));
        assert_eq!(found.damaged, []);
        assert_eq!(file.bytes(), std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn the_file_is_cut_to_what_the_checkpoint_knows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = MetricsFile::open(&path, 0).unwrap();
        file.append(&record(1.0)).unwrap();
        let known = file.bytes();
        file.append(&record(2.0)).unwrap();
        drop(file);
        // The process died in the middle of a line.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut file = MetricsFile::open(&path, known).unwrap();
        file.append(&record(3.0)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let losses: Vec<f64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64())
            .map(Option::unwrap)
            .collect();
        assert_eq!(losses, [1.0, 3.0]);
    }
}
