//! The cheapest or most accurate thresholds for a target.

use super::frontier::{Entry, Search};
use crate::{
    AnyPolicy, Criterion, FitRows, OperatingPoint, PolicyError,
    table::{mean_macs, percent},
};

/// What thresholds should reach on the rows they are fitted on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most this many MACs per sample on average; as accurate as possible.
    MaxMacs(f64),
    /// At most this many points of top-1 below the deepest exit; as cheap as possible. Negative:
    /// above it.
    MaxDrop(f64),
}

impl Target {
    /// Refuses a target that is NaN or infinite.
    pub(crate) fn check(self) -> Result<(), PolicyError> {
        let (what, value) = match self {
            Self::MaxMacs(value) => ("budget in MACs", value),
            Self::MaxDrop(value) => ("drop in points", value),
        };
        if value.is_finite() {
            Ok(())
        } else {
            Err(PolicyError::InvalidTarget { what, value })
        }
    }
}

/// A policy that meets its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The policy.
    pub policy: AnyPolicy,
    /// What it does on the rows it was fitted on: too good for a score, right for a comparison.
    pub on_fit: OperatingPoint,
}

/// The best thresholds found that meet `target` on `rows`.
///
/// One point of the [`frontier`](super::frontier()), where its search, guarantee and cost are
/// described. The frontier does not depend on the target, so a larger budget never gives a less
/// accurate policy, and a larger drop never a more expensive one; among equals the cheaper is taken.
/// `macs` as in [`evaluate`](crate::evaluate).
///
/// ```
/// use offramp_policies::*;
///
/// let shallow = vec![4.0, 0.0, /* sample 1 */ 0.1, 0.0];
/// let deep = vec![4.0, 0.0, /* sample 1 */ 0.0, 3.0];
/// let val = FitRows::new(FitSplit::Val, ExitTable::new(vec![shallow, deep], 2, vec![0, 1])?);
/// let fitted = fit(&val, Criterion::Confidence, &[10, 40], Target::MaxDrop(0.0))?;
/// assert_eq!((fitted.on_fit.mean_macs, fitted.on_fit.top1), (25.0, 100.0));
/// # Ok::<(), PolicyError>(())
/// ```
///
/// # Errors
/// [`PolicyError::UnreachableMacs`] or [`PolicyError::UnreachableDrop`], which name what is reachable;
/// [`PolicyError::InvalidTarget`] for a target that is not finite; those of
/// [`frontier`](super::frontier()).
pub fn fit(
    rows: &FitRows,
    criterion: Criterion,
    macs: &[u64],
    target: Target,
) -> Result<Fitted, PolicyError> {
    target.check()?;
    let search = Search::run(rows, criterion, macs)?;
    let frontier = search.frontier();
    let chosen = match target {
        Target::MaxMacs(max_macs) => most_accurate(&frontier, max_macs, rows)?,
        Target::MaxDrop(max_drop) => cheapest(&frontier, max_drop, rows)?,
    };
    let (policy, on_fit) = search.point(rows, chosen)?;
    Ok(Fitted { policy, on_fit })
}

/// The first entry cheap enough; `frontier` starts with the most accurate.
fn most_accurate<'a>(
    frontier: &'a [Entry],
    max_macs: f64,
    rows: &FitRows,
) -> Result<&'a Entry, PolicyError> {
    let samples = rows.table().samples();
    let mean = |entry: &Entry| mean_macs(entry.outcome.macs, samples);
    frontier
        .iter()
        .find(|entry| mean(entry) <= max_macs)
        .ok_or_else(|| {
            let last = frontier.last();
            PolicyError::UnreachableMacs {
                max_macs,
                cheapest_macs: last.map_or(f64::NAN, mean),
                cheapest_top1: last
                    .map_or(f64::NAN, |entry| percent(entry.outcome.correct, samples)),
            }
        })
}

/// The last entry accurate enough.
fn cheapest<'a>(
    frontier: &'a [Entry],
    max_drop: f64,
    rows: &FitRows,
) -> Result<&'a Entry, PolicyError> {
    let table = rows.table();
    let (samples, last) = (table.samples(), table.exits() - 1);
    let deepest = (0..samples)
        .filter(|&sample| table.correct(sample, last))
        .count();
    // In hundredths of a sample, where a drop of whole points is a whole number.
    let drop = |entry: &Entry| 100.0 * (deepest as f64 - entry.outcome.correct as f64);
    let allowed = max_drop * samples as f64;
    frontier
        .iter()
        .rev()
        .find(|entry| drop(entry) <= allowed)
        .ok_or_else(|| {
            let (best, deepest_top1) = (frontier.first(), percent(deepest, samples));
            PolicyError::UnreachableDrop {
                max_drop,
                wanted_top1: deepest_top1 - max_drop,
                deepest_top1,
                best_top1: best.map_or(f64::NAN, |entry| percent(entry.outcome.correct, samples)),
                best_macs: best.map_or(f64::NAN, |entry| mean_macs(entry.outcome.macs, samples)),
            }
        })
}
