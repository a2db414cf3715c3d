//! What a policy does on the rows of a table.

use serde::{Deserialize, Serialize};

use super::metrics::percent;
use crate::{
    ExitPolicy, ExitTable, PolicyError, PolicyState,
    policies::{check_classes, check_exits, extended_reals},
    state::exit_taken_from,
};

/// What a policy does on the rows of a table.
///
/// In JSON every number is finite, but for thresholds a person set to infinity, which are strings
/// (see [`Thresholds`](crate::Thresholds)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OperatingPoint {
    /// One threshold per exit, in the policy's own units; empty for a policy without thresholds.
    #[serde(with = "extended_reals")]
    pub thresholds: Vec<f64>,
    /// The share of samples that leave at each exit; sums to 1.
    #[serde(alias = "exit_fractions")]
    pub exit_fractions: Vec<f64>,
    /// Mean cost of a sample: `sum_k fraction_k macs_k`, MACs.
    #[serde(alias = "mean_macs")]
    pub mean_macs: f64,
    /// Samples whose prediction at the exit they take is the label, percent.
    pub top1: f64,
}

/// Simulates `policy` on each row of `table`.
///
/// `macs[k]` is the cost of a sample that leaves at exit `k`: cumulative, all heads up to `k` counted.
/// Stopping is decided by [`ExitPolicy::decide`], exit after exit, the code the runner calls too.
///
/// # Errors
/// [`PolicyError::ExitCount`] when the policy or `macs` has another number of exits than the table,
/// [`PolicyError::Classes`] when the policy was fitted for other classes,
/// [`PolicyError::MacsNotCumulative`] when costs fall with depth.
///
/// ```
/// use offramp_policies::{AnyPolicy, Criterion, ExitTable, evaluate};
///
/// let shallow = vec![4.0, 0.0, /* sample 1 */ 0.1, 0.0];
/// let deep = vec![4.0, 0.0, /* sample 1 */ 0.0, 3.0];
/// let table = ExitTable::new(vec![shallow, deep], 2, vec![0, 1])?;
/// let policy = AnyPolicy::with_thresholds(Criterion::Confidence, vec![0.9, 0.0])?;
/// let point = evaluate(&policy, &table, &[10, 40])?;
/// assert_eq!((point.mean_macs, point.top1), (25.0, 100.0));
/// assert_eq!(point.exit_fractions, [0.5, 0.5]);
/// # Ok::<(), offramp_policies::PolicyError>(())
/// ```
pub fn evaluate(
    policy: &(impl ExitPolicy + ?Sized),
    table: &ExitTable,
    macs: &[u64],
) -> Result<OperatingPoint, PolicyError> {
    check_macs(macs, table.exits())?;
    let mut leaving = vec![0usize; table.exits()];
    let mut correct = 0;
    for (sample, exit) in exits_taken(policy, table)?.into_iter().enumerate() {
        leaving[exit] += 1;
        correct += usize::from(table.correct(sample, exit));
    }
    let total = leaving
        .iter()
        .zip(macs)
        .map(|(&n, &cost)| n as u128 * u128::from(cost))
        .sum();
    let samples = table.samples();
    Ok(OperatingPoint {
        thresholds: policy.thresholds().to_vec(),
        exit_fractions: leaving.iter().map(|&n| n as f64 / samples as f64).collect(),
        mean_macs: mean_macs(total, samples),
        top1: percent(correct, samples),
    })
}

/// The exit each row of `table` takes under `policy`, in the order of the rows.
///
/// # Errors
/// [`PolicyError::ExitCount`] or [`PolicyError::Classes`].
pub fn exits_taken(
    policy: &(impl ExitPolicy + ?Sized),
    table: &ExitTable,
) -> Result<Vec<usize>, PolicyError> {
    check_exits(policy, table.exits())?;
    check_classes(policy, table.classes())?;
    let mut state = PolicyState::default();
    Ok((0..table.samples())
        .map(|sample| exit_taken_from(policy, &mut state, &mut |exit| table.view(sample, exit)))
        .collect())
}

/// Costs are summed as integers, so that a mean does not depend on the order of the rows.
pub(crate) fn mean_macs(total: u128, samples: usize) -> f64 {
    total as f64 / samples as f64
}

pub(crate) fn check_macs(macs: &[u64], exits: usize) -> Result<(), PolicyError> {
    if macs.len() != exits {
        return Err(PolicyError::ExitCount {
            what: "costs",
            found: macs.len(),
            expected: exits,
        });
    }
    match macs.windows(2).position(|pair| pair[1] < pair[0]) {
        Some(exit) => Err(PolicyError::MacsNotCumulative {
            exit: exit + 1,
            macs: macs[exit + 1],
            previous: macs[exit],
        }),
        None => Ok(()),
    }
}
