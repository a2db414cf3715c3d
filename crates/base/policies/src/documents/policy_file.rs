//! `policy.json`: a fitted policy on disk.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    AnyPolicy, Criterion, Ensemble, ExitPolicy, FitRows, FitSplit, Guarantee, OperatingPoint,
    PolicyError, Readout, Temperatures,
};

/// The rows a policy was fitted on. The test split has no name here, so a file cannot claim it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    /// The split.
    pub split: FitSplit,
    /// How many rows.
    pub samples: usize,
}

impl From<&FitRows> for FittedOn {
    fn from(rows: &FitRows) -> Self {
        Self {
            split: rows.split(),
            samples: rows.table().samples(),
        }
    }
}

/// A fitted policy on disk, `policy.json` of a run folder.
///
/// Written as JSON; thresholds may be the strings `"inf"` and `"-inf"`
/// (see [`Thresholds`](crate::Thresholds)). A file belongs to one model, which it names by the
/// checksum of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyFile {
    /// The version of this format, [`PolicyFile::FORMAT`].
    #[serde(alias = "format_version")]
    pub format: u32,
    /// The checksum of the model the policy was fitted for, as the run folder writes it.
    pub model: String,
    /// What the thresholds compare with; absent for a policy without thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<Criterion>,
    /// What the logits of each exit are divided by before the policy sees them; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperatures: Option<Temperatures>,
    /// Combines the outputs of the exits so far; absent: each exit answers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<Ensemble>,
    /// The rows the policy, and the temperatures and the ensemble if any, were fitted on.
    #[serde(alias = "fitted_on")]
    pub fitted_on: FittedOn,
    /// The policy.
    pub policy: AnyPolicy,
    /// What the policy does on the rows it was fitted on.
    pub expected: OperatingPoint,
    /// What is promised beyond the rows fitted on; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Guarantee>,
}

/// Read before the rest, so that the error for another version is not one about a field.
#[derive(Deserialize)]
struct Version {
    #[serde(alias = "format_version")]
    format: u64,
}

impl PolicyFile {
    /// The version this program writes. It reads version 1 as well, which has the keys of version 2 with
    /// underscores, `format` for `format` and `kind` for `name`.
    pub const FORMAT: u32 = 2;

    /// A file for `policy`, fitted on `rows` for the model with checksum `model`.
    ///
    /// Temperatures and ensemble are those the rows carry; temperatures of 1 throughout are left out.
    pub fn new(
        model: impl Into<String>,
        rows: &FitRows,
        policy: AnyPolicy,
        expected: OperatingPoint,
    ) -> Self {
        let Readout {
            temperatures,
            ensemble,
        } = rows.table().readout().clone();
        let scaled = |list: &Temperatures| list.as_slice().iter().any(|&t| t != 1.0);
        Self {
            format: Self::FORMAT,
            model: model.into(),
            criterion: policy.criterion(),
            temperatures: temperatures.filter(scaled),
            ensemble,
            fitted_on: rows.into(),
            policy,
            expected,
            guarantee: None,
        }
    }

    /// How the logits are to be read before the policy sees them.
    pub fn readout(&self) -> Readout {
        Readout {
            temperatures: self.temperatures.clone(),
            ensemble: self.ensemble.clone(),
        }
    }

    /// Reads a file for the model with checksum `model` and `exits` exits.
    ///
    /// # Errors
    /// Each names the file: [`Io`](PolicyError::Io), [`Malformed`](PolicyError::Malformed),
    /// [`FormatVersion`](PolicyError::FormatVersion), [`OtherModel`](PolicyError::OtherModel), and
    /// [`Inconsistent`](PolicyError::Inconsistent) for another number of exits or parts that
    /// contradict each other.
    pub fn read(path: &Path, model: &str, exits: usize) -> Result<Self, PolicyError> {
        let text = fs::read_to_string(path).map_err(|source| io("read", path, source))?;
        Self::parse(&text, path, model, exits)
    }

    /// As [`read`](Self::read), for a text that is already in memory; `path` is its name in
    /// messages.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), [`Io`](PolicyError::Io) excepted.
    pub fn parse(text: &str, path: &Path, model: &str, exits: usize) -> Result<Self, PolicyError> {
        let malformed = |source| PolicyError::Malformed {
            path: path.to_owned(),
            source,
        };
        let version: Version = serde_json::from_str(text).map_err(malformed)?;
        if !(1..=u64::from(Self::FORMAT)).contains(&version.format) {
            return Err(PolicyError::FormatVersion {
                path: path.to_owned(),
                found: version.format,
                expected: Self::FORMAT,
            });
        }
        let file = Self {
            format: Self::FORMAT,
            ..serde_json::from_str(text).map_err(malformed)?
        };
        if file.model != model {
            return Err(PolicyError::OtherModel {
                path: path.to_owned(),
                found: file.model,
                expected: model.to_owned(),
            });
        }
        match file.contradiction(exits) {
            Some(reason) => Err(PolicyError::Inconsistent {
                path: path.to_owned(),
                reason,
            }),
            None => Ok(file),
        }
    }

    /// Refuses a policy or an ensemble that was fitted for another number of classes than the model at
    /// hand has; `path` is the file, for the message.
    ///
    /// # Errors
    /// [`PolicyError::Inconsistent`].
    pub fn check_classes(&self, path: &Path, classes: usize) -> Result<(), PolicyError> {
        let exits = self.policy.num_exits();
        (self.policy.check_classes(classes))
            .and_then(|()| self.readout().check(exits, classes))
            .map_err(|error| PolicyError::Inconsistent {
                path: path.to_owned(),
                reason: error.to_string(),
            })
    }

    /// Writes the file: to a temporary file in the same folder first, which then takes the name, so that a full disk or a
    /// crash leaves an earlier file as it was.
    ///
    /// # Errors
    /// [`PolicyError::Io`], and [`PolicyError::Malformed`] for what JSON cannot hold.
    pub fn write(&self, path: &Path) -> Result<(), PolicyError> {
        let mut json =
            serde_json::to_string_pretty(self).map_err(|source| PolicyError::Malformed {
                path: path.to_owned(),
                source,
            })?;
        json.push('\n');
        let partial = temporary(path);
        let written = write_synced(&partial, json.as_bytes())
            .and_then(|()| fs::rename(&partial, path))
            .map_err(|source| io("write", path, source));
        if written.is_err() {
            // The error above is the one to report; the partial file may not even exist.
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn contradiction(&self, exits: usize) -> Option<String> {
        let lengths = [
            ("the policy has", self.policy.num_exits()),
            ("the expected point has", self.expected.exit_fractions.len()),
            (
                "the temperatures have",
                self.temperatures
                    .as_ref()
                    .map_or(exits, |t| t.as_slice().len()),
            ),
        ];
        if let Some((what, found)) = lengths.into_iter().find(|&(_, found)| found != exits) {
            return Some(format!("{what} {found} exit(s), the model has {exits}"));
        }
        if self.criterion != self.policy.criterion() {
            let name = |c: Option<Criterion>| c.map_or("none", Criterion::name);
            let (file, policy) = (name(self.criterion), name(self.policy.criterion()));
            return Some(format!("the criterion is {file}, the policy's is {policy}"));
        }
        if self.expected.thresholds != self.policy.thresholds() {
            return Some("the expected point has other thresholds than the policy".to_owned());
        }
        None
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> PolicyError {
    PolicyError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// In the same folder, because a rename does not cross file systems; one per process.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
