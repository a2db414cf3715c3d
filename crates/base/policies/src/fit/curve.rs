//! The curve of accuracy against cost over MSDNet's budgets.

use serde::{Deserialize, Serialize};

use super::msdnet::msdnet_policies;
use crate::{
    Criterion, FitRows, FitSplit, OperatingPoint, PolicyError, ScoreRows, ScoreSplit, evaluate,
    table::{check_macs, check_pair},
};

/// Accuracy against cost over the 39 budgets of MSDNet's search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BudgetCurve {
    /// The split the thresholds come from.
    #[serde(alias = "fitted_on")]
    pub fitted_on: FitSplit,
    /// The split that fractions, cost and accuracy were counted on.
    #[serde(alias = "scored_on")]
    pub scored_on: ScoreSplit,
    /// One point per budget, `q = 1/20` to `39/20`, from cheap to expensive.
    pub rows: Vec<OperatingPoint>,
}

/// Fits the thresholds of each budget on `fit` (see [`msdnet_thresholds`](crate::msdnet_thresholds))
/// and scores them on `score`.
///
/// `macs` as in [`evaluate`].
///
/// # Errors
/// [`PolicyError::OneExit`]; [`PolicyError::ExitCount`], [`PolicyError::ClassCount`] or
/// [`PolicyError::MacsNotCumulative`] when rows and costs do not belong to one network;
/// [`PolicyError::SameRows`] when the two splits are the same rows under two names.
pub fn budget_curve(
    fit: &FitRows,
    score: &ScoreRows,
    criterion: Criterion,
    macs: &[u64],
) -> Result<BudgetCurve, PolicyError> {
    if fit.table().exits() < 2 {
        return Err(PolicyError::OneExit);
    }
    check_pair(fit, score)?;
    check_macs(macs, fit.table().exits())?;
    let rows = msdnet_policies(fit, criterion)?
        .iter()
        .map(|policy| evaluate(policy, score.table(), macs))
        .collect::<Result<_, _>>()?;
    Ok(BudgetCurve {
        fitted_on: fit.split(),
        scored_on: score.split(),
        rows,
    })
}
