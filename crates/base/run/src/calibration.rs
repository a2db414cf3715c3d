//! `calibrate.json`: accuracy against cost, as `offramp calibrate RUN --json` prints it.

use std::path::Path;

use offramp_policies::{BudgetCurve, FitSplit, OperatingPoint, ScoreSplit};
use serde::{Deserialize, Serialize};

use crate::check::percent;
use crate::document::{Document, DocumentError, Fault, same_model};
use crate::policy_file::{PolicyFile, check_point};

/// The fitted policy, what it costs and scores, and a curve of other budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Calibration {
    /// The version of this format; 2 whatever the version of the file that was read.
    #[serde(skip_deserializing, default = "newest")]
    pub format: u32,
    /// The split the thresholds come from.
    #[serde(alias = "fitted_on")]
    pub fitted_on: FitSplit,
    /// The split that shares, cost and accuracy were counted on.
    #[serde(alias = "scored_on")]
    pub scored_on: ScoreSplit,
    /// One point per budget, on the rows scored on.
    pub rows: Vec<OperatingPoint>,
    /// What `policy.json` holds.
    pub policy: PolicyFile,
    /// What the policy does on the rows scored on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<OperatingPoint>,
    /// The network without stopping early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<Full>,
}

fn newest() -> u32 {
    Calibration::FORMAT
}

/// The network without stopping early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Full {
    /// Cost of the deepest exit.
    pub macs: u64,
    /// Accuracy of the deepest exit on the rows scored on, percent.
    pub top1: f64,
}

impl Calibration {
    /// Puts the parts together.
    pub fn new(curve: BudgetCurve, policy: PolicyFile, scored: OperatingPoint, full: Full) -> Self {
        Self {
            format: Self::FORMAT,
            fitted_on: curve.fitted_on,
            scored_on: curve.scored_on,
            rows: curve.rows,
            policy,
            scored: Some(scored),
            full: Some(full),
        }
    }
}

impl Calibration {
    /// Refuses what was made for other weights than those with checksum `model`; `path` is where the file
    /// lies, for the message.
    ///
    /// # Errors
    /// [`DocumentError::OtherModel`].
    pub fn check_model(&self, path: &Path, model: &str) -> Result<(), DocumentError> {
        same_model::<Self>(path, &self.policy.model, model)
    }
}

impl Document for Calibration {
    const FILE: &'static str = "calibrate.json";
    const NAME: &'static str = "calibration";
    const FORMAT: u32 = 2;
    /// Version 1 has no key `format`, and underscores in the keys of version 2.
    const OLDEST: u32 = 1;
    const REMEDY: &'static str = "run `offramp calibrate RUN --json` again";

    fn check(&self) -> Result<(), Fault> {
        self.policy.check().map_err(|fault| fault.below("policy"))?;
        let exits = self.policy.expected.exit_fractions.len();
        let point = |point: &OperatingPoint| {
            check_point(point)?;
            let found = point.exit_fractions.len();
            if found == exits {
                return Ok(());
            }
            let shown = format!("a list of {found}");
            let rule = format!("the policy has {exits} exit(s)");
            Err(Fault::new("exit-fractions", shown, rule))
        };
        for (row, found) in self.rows.iter().enumerate() {
            point(found).map_err(|fault| fault.below(&format!("rows[{row}]")))?;
        }
        if let Some(scored) = &self.scored {
            point(scored).map_err(|fault| fault.below("scored"))?;
        }
        match &self.full {
            Some(full) => percent("full.top1", full.top1),
            None => Ok(()),
        }
    }
}
