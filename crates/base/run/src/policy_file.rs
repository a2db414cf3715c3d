//! `policy.json`: a fitted policy.

use std::path::Path;

use offramp_policies::{
    AnyPolicy, Criterion, Ensemble, ExitPolicy, FitRows, FitSplit, Guarantee, OperatingPoint,
    Promise, Readout, Rule, Temperatures,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::check::{json, not_negative, percent, share};
use crate::document::{Document, DocumentError, Fault, faulty, same_model, versions};

/// The rows a policy was fitted on. The test split has no name here, so a file cannot claim it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    /// The split.
    pub split: FitSplit,
    /// Number of rows.
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
/// (see [`Thresholds`](offramp_policies::Thresholds)). A file belongs to one model, which it names by the
/// checksum of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyFile {
    /// The version of this format; 2 whatever the version of the file that was read.
    #[serde(alias = "format_version", deserialize_with = "newest")]
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

/// The version that is written, in the place of the one that was read. A policy inside of another document
/// is read without [`Document::decode`], so the version is checked here too.
fn newest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let found = u32::deserialize(deserializer)?;
    if (PolicyFile::OLDEST..=PolicyFile::FORMAT).contains(&found) {
        return Ok(PolicyFile::FORMAT);
    }
    Err(D::Error::custom(format!(
        "this program reads policies of {}",
        versions(PolicyFile::OLDEST, PolicyFile::FORMAT)
    )))
}

impl PolicyFile {
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

    /// Reads a file for the model with checksum `model`, `exits` exits and `classes` classes.
    ///
    /// # Errors
    /// [`DocumentError`] that names the file, also for a policy of another network.
    pub fn read_for(
        path: &Path,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<Self, DocumentError> {
        let bytes = std::fs::read(path).map_err(|source| DocumentError::Read {
            name: Self::NAME,
            path: path.to_owned(),
            source,
        })?;
        let text = String::from_utf8_lossy(&bytes);
        Self::parse_for(&text, path, model, exits, classes)
    }

    /// As [`read_for`](Self::read_for), for the text of a file that was got elsewhere; `path` is its name in
    /// messages.
    ///
    /// # Errors
    /// Those of [`read_for`](Self::read_for) but the reading.
    pub fn parse_for(
        text: &str,
        path: &Path,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<Self, DocumentError> {
        let file = Self::decode(text, path)?;
        let checked = file.check_network(path, model, exits, classes);
        checked.map_err(|error| error.spelled_as_in(text))?;
        Ok(file)
    }

    /// Checks every value, and refuses a policy that was fitted for another network; `path` is where the file lies, for the message.
    ///
    /// # Errors
    /// [`DocumentError::OtherModel`] and [`DocumentError::Value`].
    pub fn check_network(
        &self,
        path: &Path,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<(), DocumentError> {
        same_model::<Self>(path, &self.model, model)?;
        let fault =
            |key, rule: String| faulty::<Self>(path, Fault::new(key, "of another network", rule));
        let found = self.policy.num_exits();
        if found != exits {
            let rule = format!("the policy has {found} exit(s), the model has {exits}");
            return Err(fault("policy", rule));
        }
        (self.check()).map_err(|fault| faulty::<Self>(path, fault))?;
        let policy = self.policy.check_classes(classes);
        policy.map_err(|error| fault("policy", error.to_string()))?;
        let readout = self.readout().check(exits, classes);
        readout.map_err(|error| fault("ensemble", error.to_string()))
    }

    fn contradiction(&self) -> Option<Fault> {
        let exits = self.policy.num_exits();
        let expected = self.expected.exit_fractions.len();
        let temperatures = self.temperatures.as_ref().map(|t| t.as_slice().len());
        let lengths = [
            (
                "expected.exit-fractions",
                "the expected point has",
                expected,
            ),
            (
                "temperatures",
                "the temperatures have",
                temperatures.unwrap_or(exits),
            ),
        ];
        if let Some((key, what, found)) = lengths.into_iter().find(|&(.., found)| found != exits) {
            let rule = format!("{what} {found} exit(s), the policy has {exits}");
            return Some(Fault::new(key, format!("a list of {found}"), rule));
        }
        if self.criterion != self.policy.criterion() {
            let name = |c: Option<Criterion>| c.map_or("none", Criterion::name);
            let (file, policy) = (name(self.criterion), name(self.policy.criterion()));
            let rule = format!("the criterion is {file}, the policy's is {policy}");
            return Some(Fault::new("criterion", file, rule));
        }
        if self.expected.thresholds != self.policy.thresholds() {
            return Some(Fault::new(
                "expected.thresholds",
                format!("{:?}", self.expected.thresholds),
                "the expected point has other thresholds than the policy",
            ));
        }
        None
    }
}

impl Document for PolicyFile {
    const FILE: &'static str = "policy.json";
    const NAME: &'static str = "policy file";
    const FORMAT: u32 = 2;
    /// Version 1 has the keys of version 2 with underscores, `format_version` for `format` and `kind` for
    /// `name`.
    const OLDEST: u32 = 1;
    const FORMAT_KEYS: &'static [&'static str] = &["format", "format_version"];
    const REMEDY: &'static str = "run `offramp calibrate` again";

    fn check(&self) -> Result<(), Fault> {
        if self.fitted_on.samples == 0 {
            let rule = "a policy is fitted on at least one row";
            return Err(Fault::new("fitted-on.samples", 0, rule));
        }
        match self.contradiction() {
            Some(fault) => Err(fault),
            None => Ok(()),
        }?;
        check_point(&self.expected).map_err(|fault| fault.below("expected"))?;
        let Some(guarantee) = self.guarantee else {
            return Ok(());
        };
        share("guarantee.level", guarantee.level)?;
        match guarantee.promise {
            Promise::Probability(p) => share("guarantee.promise.probability", p),
            Promise::Mean => Ok(()),
        }
    }

    fn to_text(&self) -> Result<String, DocumentError> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| DocumentError::Unwritable {
            name: Self::NAME,
            reason: error.to_string(),
        })?;
        Ok(text + "\n")
    }
}

impl From<&PolicyFile> for Rule {
    fn from(file: &PolicyFile) -> Self {
        Self {
            policy: file.policy.clone(),
            readout: file.readout(),
        }
    }
}

/// How far the shares of an operating point may be from 1 together.
const ROUNDING: f64 = 1e-6;

/// Checks every value of an operating point.
pub(crate) fn check_point(point: &OperatingPoint) -> Result<(), Fault> {
    let exits = point.exit_fractions.len();
    if exits == 0 {
        return Err(Fault::new("exit-fractions", "[]", "a network has exits"));
    }
    for (exit, &fraction) in point.exit_fractions.iter().enumerate() {
        share(format!("exit-fractions[{exit}]"), fraction)?;
    }
    let sum: f64 = point.exit_fractions.iter().sum();
    if (sum - 1.0).abs() > ROUNDING {
        let shares = format!("{:?}", point.exit_fractions);
        let rule = format!("the shares are {} together, not 1", json(sum));
        return Err(Fault::new("exit-fractions", shares, rule));
    }
    let thresholds = point.thresholds.len();
    if thresholds != 0 && thresholds != exits {
        let found = format!("a list of {thresholds}");
        let rule = format!("there are {exits} exits");
        return Err(Fault::new("thresholds", found, rule));
    }
    if let Some(exit) = point.thresholds.iter().position(|t| t.is_nan()) {
        let key = format!("thresholds[{exit}]");
        return Err(Fault::new(key, "NaN", "a threshold is a number"));
    }
    not_negative("mean-macs", point.mean_macs)?;
    percent("top1", point.top1)
}
