//! Rows to fit on and rows to score, kept apart by type.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Ensemble, ExitTable, PolicyError, Temperatures};

/// The splits thresholds and temperatures may be fitted on. The test split is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FitSplit {
    /// The training rows, validation rows left out.
    Train,
    /// The rows carved from the training set.
    Val,
}

/// The splits a score may be reported on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreSplit {
    /// The rows carved from the training set; no fair score for what was fitted on them.
    Val,
    /// The test rows.
    Test,
}

impl fmt::Display for FitSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Val => "val",
        })
    }
}

impl fmt::Display for ScoreSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

/// Rows that thresholds and temperatures are fitted on.
///
/// Whatever fits takes these; whatever scores takes [`ScoreRows`]; nothing turns one into the other,
/// so that fitting on the rows of the score does not compile:
///
/// ```compile_fail,E0308
/// # use offramp_policies::*;
/// # let table = ExitTable::new(vec![vec![1.0, 0.0], vec![1.0, 0.0]], 2, vec![0])?;
/// let test = ScoreRows::new(ScoreSplit::Test, table);
/// msdnet_thresholds(&test, Criterion::Confidence, 0.5)?;
/// # Ok::<(), PolicyError>(())
/// ```
///
/// With rows to fit on it does:
///
/// ```
/// # use offramp_policies::*;
/// # let table = ExitTable::new(vec![vec![1.0, 0.0], vec![1.0, 0.0]], 2, vec![0])?;
/// let val = FitRows::new(FitSplit::Val, table);
/// msdnet_thresholds(&val, Criterion::Confidence, 0.5)?;
/// # Ok::<(), PolicyError>(())
/// ```
#[derive(Debug)]
pub struct FitRows {
    split: FitSplit,
    table: ExitTable,
}

/// Rows that a fitted policy is scored on; see [`FitRows`].
#[derive(Debug)]
pub struct ScoreRows {
    split: ScoreSplit,
    table: ExitTable,
}

impl FitRows {
    /// Rows of `split`.
    pub fn new(split: FitSplit, table: ExitTable) -> Self {
        Self { split, table }
    }

    /// Where the rows come from.
    pub fn split(&self) -> FitSplit {
        self.split
    }

    /// The rows, for statistics.
    pub fn table(&self) -> &ExitTable {
        &self.table
    }

    /// See [`ExitTable::with_temperatures`].
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`].
    pub fn with_temperatures(self, temperatures: &Temperatures) -> Result<Self, PolicyError> {
        Ok(Self {
            split: self.split,
            table: self.table.with_temperatures(temperatures)?,
        })
    }

    /// See [`ExitTable::with_ensemble`].
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] or [`PolicyError::Classes`].
    pub fn with_ensemble(self, ensemble: &Ensemble) -> Result<Self, PolicyError> {
        Ok(Self {
            split: self.split,
            table: self.table.with_ensemble(ensemble)?,
        })
    }
}

impl ScoreRows {
    /// Rows of `split`.
    pub fn new(split: ScoreSplit, table: ExitTable) -> Self {
        Self { split, table }
    }

    /// Where the rows come from.
    pub fn split(&self) -> ScoreSplit {
        self.split
    }

    /// The rows, for statistics.
    pub fn table(&self) -> &ExitTable {
        &self.table
    }

    /// See [`ExitTable::with_temperatures`].
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`].
    pub fn with_temperatures(self, temperatures: &Temperatures) -> Result<Self, PolicyError> {
        Ok(Self {
            split: self.split,
            table: self.table.with_temperatures(temperatures)?,
        })
    }

    /// See [`ExitTable::with_ensemble`].
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] or [`PolicyError::Classes`].
    pub fn with_ensemble(self, ensemble: &Ensemble) -> Result<Self, PolicyError> {
        Ok(Self {
            split: self.split,
            table: self.table.with_ensemble(ensemble)?,
        })
    }
}

/// Refuses to score what was fitted on `fit`: tables of different networks, and the same rows
/// passed off as two splits (MSDNet's code without `--use-valid` scores the rows it fitted on).
pub(crate) fn check_pair(fit: &FitRows, score: &ScoreRows) -> Result<(), PolicyError> {
    let (a, b) = (&fit.table, &score.table);
    if a.exits() != b.exits() {
        return Err(PolicyError::ExitCount {
            what: "exits in the rows to score",
            found: b.exits(),
            expected: a.exits(),
        });
    }
    if a.classes() != b.classes() {
        return Err(PolicyError::ClassCount {
            fit: a.classes(),
            score: b.classes(),
        });
    }
    let declared = fit.split == FitSplit::Val && score.split == ScoreSplit::Val;
    let same = a.labels() == b.labels() && (0..a.exits()).all(|k| a.logits(k) == b.logits(k));
    if same && !declared {
        return Err(PolicyError::SameRows {
            samples: a.samples(),
        });
    }
    Ok(())
}
