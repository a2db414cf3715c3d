//! Readers: from the files of a data set to decoded images.

pub(crate) mod cifar;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod pickle;
pub(crate) mod tiny_imagenet;

use std::path::Path;

use crate::config::OnError;
use crate::error::DataError;
use crate::images::Images;

/// What a reader is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The folder of the data set.
    pub folder: &'a Path,
    /// Side of the images.
    pub size: usize,
    /// What to do with an image that cannot be decoded.
    pub on_error: OnError,
    /// Whether to keep decoded images in a cache file.
    pub cache: bool,
}

/// What a reader found.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Class names, by label.
    pub classes: Vec<String>,
    /// The training images.
    pub train: Images,
    /// Validation images, where the layout has a place for them.
    pub val: Option<Images>,
    /// Test images; `None` where the layout has none, then some are set aside.
    pub test: Option<Images>,
}

/// Lines of a text file, without line ends, empty last lines dropped.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<String>, DataError> {
    let bytes = std::fs::read(path).map_err(|e| DataError::io("read", path, e))?;
    let text = String::from_utf8(bytes).map_err(|_| DataError::format(path, "it is not UTF-8"))?;
    let mut lines: Vec<String> = text.lines().map(|l| l.trim_end().to_owned()).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    Ok(lines)
}
