//! What a sample loses by stopping early.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ExitPolicy, ExitTable, PolicyError, exits_taken};

/// What a sample loses by stopping early; its expectation is the risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RiskLoss {
    /// `[early wrong] - [full wrong]`, -1, 0 or 1: the risk is the drop in accuracy.
    Drop,
    /// `[early wrong and full right]`, 0 or 1: the risk is at least the drop in accuracy.
    Harm,
    /// `[early answer differs from the full network's]`, 0 or 1: labels do not matter.
    Disagreement,
}

impl RiskLoss {
    /// Every loss.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Harm, Self::Disagreement];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Harm => "harm",
            Self::Disagreement => "disagreement",
        }
    }

    fn of(self, table: &ExitTable, sample: usize, exit: usize) -> i8 {
        let last = table.exits() - 1;
        let wrong = |exit| !table.correct(sample, exit);
        let prediction = |exit| table.evidence(sample, exit).prediction;
        match self {
            Self::Drop => i8::from(wrong(exit)) - i8::from(wrong(last)),
            Self::Harm => i8::from(wrong(exit) && !wrong(last)),
            Self::Disagreement => i8::from(prediction(exit) != prediction(last)),
        }
    }
}

impl fmt::Display for RiskLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What each row of `table` loses under `policy`.
///
/// # Errors
/// Those of [`exits_taken`].
pub fn losses(
    policy: &(impl ExitPolicy + ?Sized),
    table: &ExitTable,
    loss: RiskLoss,
) -> Result<Vec<i8>, PolicyError> {
    let exits = exits_taken(policy, table)?.into_iter().enumerate();
    Ok(exits
        .map(|(sample, exit)| loss.of(table, sample, exit))
        .collect())
}
