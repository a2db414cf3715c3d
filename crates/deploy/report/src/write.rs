//! Atomic writing of files.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::ReportError;

/// Writes to a temporary file in the same folder and renames it. Missing parents are made.
pub(crate) fn atomic(path: &Path, text: &str) -> Result<(), ReportError> {
    attempt(path, text).map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes a value as JSON in the same way.
pub(crate) fn json(path: &Path, value: &impl Serialize) -> Result<(), ReportError> {
    let text = serde_json::to_string(value).map_err(|error| ReportError::Write {
        path: path.to_owned(),
        source: error.into(),
    })?;
    atomic(path, &text)
}

fn attempt(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new();
    temporary.prefix(".tmp-");
    // As any other new file: a report is to be read by whom the umask allows.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        temporary.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut temporary = temporary.tempfile_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}
