//! `log.txt` of a run.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use offramp_run::files::FileError;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// Appends what this thread logs to a file until it is dropped; warnings also go to standard error.
pub(crate) struct RunLog {
    _guard: DefaultGuard,
}

impl RunLog {
    /// Begins.
    pub(crate) fn start(path: &Path) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        let file = file.map_err(|source| FileError::Write {
            path: path.to_owned(),
            source,
        })?;
        let to_file = fmt::layer()
            .with_writer(Arc::new(file))
            .with_ansi(false)
            .with_target(false)
            .with_filter(LevelFilter::INFO);
        let to_terminal = fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_filter(LevelFilter::WARN);
        let subscriber = tracing_subscriber::registry()
            .with(to_file)
            .with(to_terminal);
        Ok(Self {
            _guard: tracing::subscriber::set_default(subscriber),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        for round in 0..2 {
            let log = RunLog::start(&path).unwrap();
            tracing::info!("round {round}");
            drop(log);
            tracing::info!("not logged");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("round 0") && text.contains("round 1"),
            "{text}"
        );
        assert!(!text.contains("not logged"));
    }
}
