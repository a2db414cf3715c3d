//! Versions of the operator set.

use std::fmt;
use std::str::FromStr;

use crate::export::ExportError;

/// A version of ONNX's default operator set that can be written, and with it a version of the file
/// format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opset(i64);

impl Opset {
    /// Of ONNX 1.8, December 2020.
    pub const OLDEST: i64 = 13;
    /// Of ONNX 1.17, October 2024.
    pub const NEWEST: i64 = 22;

    /// Checks a version.
    ///
    /// # Errors
    /// [`ExportError::Opset`] outside [`OLDEST`](Self::OLDEST) to [`NEWEST`](Self::NEWEST).
    pub fn new(version: i64) -> Result<Self, ExportError> {
        if (Self::OLDEST..=Self::NEWEST).contains(&version) {
            Ok(Self(version))
        } else {
            Err(ExportError::Opset { found: version })
        }
    }

    /// The version.
    pub fn version(self) -> i64 {
        self.0
    }

    /// The version of the file format that came with it, so that a runtime that knows the operators
    /// also reads the file (the table of ONNX's `docs/Versioning.md`).
    pub fn ir_version(self) -> i64 {
        match self.0 {
            ..15 => 7,
            15..19 => 8,
            19..21 => 9,
            _ => 10,
        }
    }
}

/// 17, of ONNX 1.12: all that is needed, and known to runtimes since June 2022.
impl Default for Opset {
    fn default() -> Self {
        Self(17)
    }
}

impl fmt::Display for Opset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Opset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let version = text
            .parse()
            .map_err(|_| "write a number, such as 17".to_owned())?;
        Self::new(version).map_err(|error| error.to_string())
    }
}
