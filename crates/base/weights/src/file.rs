//! A file of weights, whatever its format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::view::{Section, View};
use crate::{Dtype, Problem, ReadError, pytorch, safetensors};

/// A tensor of a file: which elements of which bytes.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub view: View,
    pub section: Section,
}

pub(crate) type StoredTensors = BTreeMap<String, Stored>;

/// A PyTorch file (`.pt`, `.pth`, `.th`) or a `.safetensors` file. The format is told from the
/// first bytes and not from the name.
///
/// PyTorch files may have the zip format or the one before version 1.6, and hold a `state_dict` at
/// the top or under `state_dict`, `model_state_dict`, `model` or `net`. The pickle in them is read
/// as data: it can name the few functions that put a tensor together, which are understood here and
/// not called, and a file that names anything else is refused.
///
/// Opening reads names and shapes; [`WeightFile::read`] copies one tensor at a time. What it takes
/// in memory is the file, its pickle times a small factor, and the tensors that are asked for.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    bytes: Vec<u8>,
    tensors: StoredTensors,
}

impl WeightFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, of an unknown format, or holds no tensors.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let bytes = std::fs::read(path).map_err(|error| ReadError {
            path: path.to_owned(),
            problem: error.into(),
        })?;
        Self::parse(path, bytes)
    }

    /// As [`WeightFile::open`], from the bytes of `path`.
    ///
    /// # Errors
    /// As [`WeightFile::open`].
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, ReadError> {
        match tensors(&bytes) {
            Ok(tensors) => Ok(Self {
                path: path.to_owned(),
                bytes,
                tensors,
            }),
            Err(problem) => Err(ReadError {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| &tensor.view.shape[..])
    }

    /// Element type of a tensor.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|tensor| tensor.view.dtype)
    }

    /// The elements of a tensor, row-major, rounded to the nearest `f32`.
    ///
    /// # Errors
    /// When there is no such tensor, or the bytes are not those that were written.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, ReadError> {
        let problem = |problem| ReadError {
            path: self.path.clone(),
            problem,
        };
        let Some(Stored { view, section }) = self.tensors.get(name) else {
            return Err(problem(Problem::Tensor {
                name: name.to_owned(),
                reason: "there is none of this name".to_owned(),
            }));
        };
        let bytes = &self.bytes[section.bytes.clone()];
        if let Some(expected) = section.crc32 {
            check_crc32(&section.name, bytes, expected).map_err(problem)?;
        }
        Ok(view.read(bytes))
    }
}

pub(crate) fn check_crc32(entry: &str, bytes: &[u8], expected: u32) -> Result<(), Problem> {
    let found = crc32fast::hash(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(Problem::Checksum {
            entry: entry.to_owned(),
            expected,
            found,
        })
    }
}

fn tensors(bytes: &[u8]) -> Result<StoredTensors, Problem> {
    let tensors = match bytes {
        // First of all: the length that it begins with may look like the sign of another format.
        _ if safetensors::looks_like_one(bytes) => safetensors::read(bytes)?,
        [b'P', b'K', ..] => pytorch::from_zip(bytes)?,
        [0x80, ..] => pytorch::from_legacy(bytes)?,
        _ => {
            return Err(Problem::Unknown {
                first: bytes[..bytes.len().min(16)].escape_ascii().to_string(),
            });
        }
    };
    for (name, Stored { view, section }) in &tensors {
        let elements = section.bytes.len() / view.dtype.size();
        view.check(elements).map_err(|reason| Problem::Tensor {
            name: name.clone(),
            reason,
        })?;
    }
    Ok(tensors)
}
