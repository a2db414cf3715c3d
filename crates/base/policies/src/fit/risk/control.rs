//! Learn then test, and conformal risk control.

use serde::{Deserialize, Serialize};

use super::{RiskLoss, betting_p_value, binomial_p_value, hoeffding_bentkus_p_value, losses};
use crate::{AnyPolicy, FitRows, OperatingPoint, PolicyError, evaluate, fit::shuffle::shuffled};

/// In which sense a risk stays below its level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Promise {
    /// With at least this probability over the rows fitted on, the risk is at most the level.
    Probability(f64),
    /// The risk is at most the level on average over the rows fitted on.
    Mean,
}

/// A bound that holds on new samples of the same kind as the rows fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// What a sample loses; the risk is its expectation.
    pub loss: RiskLoss,
    /// The highest risk, 0 to 1: 0.01 is a point of accuracy.
    pub level: f64,
    /// In which sense.
    pub promise: Promise,
}

/// A policy with a guarantee.
#[derive(Clone, Debug, PartialEq)]
pub struct Controlled {
    /// The cheapest of the candidates that the guarantee covers.
    pub policy: AnyPolicy,
    /// What it does on the rows.
    pub on_fit: OperatingPoint,
    /// How many of the candidates, from the first, the guarantee covers.
    pub covered: usize,
}

/// The cheapest of `candidates` for which `guarantee` holds.
///
/// Candidates go from safe to bold; the first must not stop early for any row, which loses nothing, so
/// that there always is an answer. They must not be chosen by these rows: take them from
/// [`threshold_path`](super::threshold_path), or fit them on other rows.
///
/// [`Promise::Probability`] is learn then test: from the second candidate on, each is tested for "its
/// risk exceeds the level" at the error `delta = 1 - probability`, until one test fails. All before it are
/// certified together, with no correction for their number, as the order was fixed beforehand (fixed
/// sequence testing). The p-value is the binomial tail for losses that are 0 or 1, and a bet for the
/// drop in accuracy, rows in a shuffled order. Hoeffding-Bentkus, which the
/// paper uses for both, is valid too and never sharper than the binomial.
///
/// [`Promise::Mean`] is conformal risk control: the last candidate with `(sum_i l_i + 1) / (n + 1) <= level`,
/// where `l_i` is the most sample `i` loses under this candidate or any before it. The theorem asks for
/// losses that rise along the path, and a sample's own loss does not: a bolder policy may stop where it is right.
///
/// Angelopoulos, Bates, Candes, Jordan, Lei, Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
/// Control, 2021; Angelopoulos, Bates, Fisch, Lei, Schuster, Conformal Risk Control, ICLR 2024; for early exits:
/// Jazbec, Timans, Hadzi Veljkovic, Sakmann, Zhang, Naesseth, Nalisnick, Fast yet Safe: Early-Exiting with Risk
/// Control, NeurIPS 2024.
///
/// ```
/// use offramp_policies::*;
///
/// // A first exit that is right when it is sure, and a last one that always is.
/// let row = |sure: bool| if sure { [4.0, 0.0] } else { [0.0, 0.1] };
/// let shallow = (0..1000).flat_map(|i| row(i % 4 > 0)).collect();
/// let table = ExitTable::new(vec![shallow, [4.0, 0.0].repeat(1000)], 2, vec![0; 1000])?;
/// let val = FitRows::new(FitSplit::Val, table);
/// let path = threshold_path(Criterion::Confidence, 2, 2, 100)?;
/// let promise = Promise::Probability(0.95);
/// let guarantee = Guarantee { loss: RiskLoss::Drop, level: 0.01, promise };
/// let controlled = control(&val, &path, &[10, 40], guarantee)?;
/// assert_eq!(controlled.on_fit.exit_fractions, [0.75, 0.25]);
/// assert_eq!(controlled.on_fit.top1, 100.0);
/// # Ok::<(), PolicyError>(())
/// ```
///
/// # Errors
/// [`PolicyError::InvalidRisk`] for a level or a probability outside (0, 1), [`PolicyError::UnsafeStart`]
/// when the first candidate stops early, and those of [`evaluate`](crate::evaluate()).
pub fn control(
    rows: &FitRows,
    candidates: &[AnyPolicy],
    macs: &[u64],
    guarantee: Guarantee,
) -> Result<Controlled, PolicyError> {
    check(guarantee)?;
    let table = rows.table();
    let first = candidates.first().ok_or(PolicyError::UnsafeStart)?;
    if evaluate(first, table, macs)?.exit_fractions[table.exits() - 1] < 1.0 {
        return Err(PolicyError::UnsafeStart);
    }
    let covered = match guarantee.promise {
        Promise::Probability(probability) => {
            certified(rows, candidates, guarantee, 1.0 - probability)?
        }
        Promise::Mean => conformal(rows, candidates, guarantee)?,
    };
    let points = candidates[..covered]
        .iter()
        .map(|policy| Ok((evaluate(policy, table, macs)?, policy)))
        .collect::<Result<Vec<_>, PolicyError>>()?;
    let cheapest = points
        .into_iter()
        .min_by(|(a, _), (b, _)| a.mean_macs.total_cmp(&b.mean_macs));
    let (on_fit, policy) = cheapest.ok_or(PolicyError::UnsafeStart)?;
    Ok(Controlled {
        policy: policy.clone(),
        on_fit,
        covered,
    })
}

fn check(guarantee: Guarantee) -> Result<(), PolicyError> {
    let inside = |value: f64| value > 0.0 && value < 1.0;
    let refuse = |what, value| Err(PolicyError::InvalidRisk { what, value });
    match guarantee.promise {
        _ if !inside(guarantee.level) => refuse("level of the risk", guarantee.level),
        Promise::Probability(p) if !inside(p) => refuse("probability of the guarantee", p),
        _ => Ok(()),
    }
}

/// How many candidates from the first are certified.
fn certified(
    rows: &FitRows,
    candidates: &[AnyPolicy],
    guarantee: Guarantee,
    delta: f64,
) -> Result<usize, PolicyError> {
    let level = guarantee.level;
    let order = shuffled(rows.table().samples());
    for (index, policy) in candidates.iter().enumerate().skip(1) {
        let losses = losses(policy, rows.table(), guarantee.loss)?;
        let p_value = match guarantee.loss {
            RiskLoss::Drop => {
                let losses: Vec<i8> = order.iter().map(|&sample| losses[sample]).collect();
                betting_p_value(&losses, (-1, 1), level, delta)
            }
            RiskLoss::Harm | RiskLoss::Disagreement => {
                let count = losses.iter().filter(|&&loss| loss > 0).count();
                let exact = binomial_p_value(count, losses.len(), level);
                debug_assert!(
                    exact
                        <= hoeffding_bentkus_p_value(
                            count as f64 / losses.len() as f64,
                            losses.len(),
                            level
                        ) + 1e-12
                );
                exact
            }
        };
        if p_value > delta {
            return Ok(index);
        }
    }
    Ok(candidates.len())
}

/// How many candidates from the first meet the conformal bound.
fn conformal(
    rows: &FitRows,
    candidates: &[AnyPolicy],
    guarantee: Guarantee,
) -> Result<usize, PolicyError> {
    let samples = rows.table().samples();
    let mut worst = vec![0i8; samples];
    for (index, policy) in candidates.iter().enumerate() {
        let losses = losses(policy, rows.table(), guarantee.loss)?;
        for (worst, loss) in worst.iter_mut().zip(losses) {
            *worst = (*worst).max(loss);
        }
        let sum: f64 = worst.iter().map(|&loss| f64::from(loss)).sum();
        if (sum + 1.0) / (samples as f64 + 1.0) > guarantee.level {
            // The first candidate loses nothing; with too few rows only it can be answered with.
            return Ok(index.max(1));
        }
    }
    Ok(candidates.len())
}
