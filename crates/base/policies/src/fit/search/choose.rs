//! The best of a list of policies.

use super::target::{Fitted, Target};
use crate::{AnyPolicy, FitRows, OperatingPoint, PolicyError, evaluate, table::check_macs};

/// The policy of `candidates` that meets `target` best on `rows`: the most accurate within a budget,
/// or the cheapest within a drop; of equals the cheaper, then the earlier.
///
/// For policies with few settings, such as patience, and for those trained once a setting. Each
/// candidate is simulated once.
///
/// # Errors
/// [`PolicyError::NoneMeets`], which names what is reachable; [`PolicyError::InvalidTarget`]; those of
/// [`evaluate`](crate::evaluate()).
pub fn choose(
    rows: &FitRows,
    candidates: impl IntoIterator<Item = AnyPolicy>,
    macs: &[u64],
    target: Target,
) -> Result<Fitted, PolicyError> {
    target.check()?;
    let table = rows.table();
    check_macs(macs, table.exits())?;
    let deepest = table.percent(|row| row[row.len() - 1].correct);
    let points = candidates
        .into_iter()
        .map(|policy| Ok((evaluate(&policy, table, macs)?, policy)))
        .collect::<Result<Vec<_>, PolicyError>>()?;
    let meets = |point: &OperatingPoint| match target {
        Target::MaxMacs(max) => point.mean_macs <= max,
        // Accuracies are quotients of whole numbers; this much is rounding.
        Target::MaxDrop(drop) => point.top1 >= deepest - drop - 1e-9,
    };
    let better = |a: &OperatingPoint, b: &OperatingPoint| match target {
        Target::MaxMacs(_) => (a.top1, -a.mean_macs) > (b.top1, -b.mean_macs),
        Target::MaxDrop(_) => (-a.mean_macs, a.top1) > (-b.mean_macs, b.top1),
    };
    let best = points
        .iter()
        .filter(|(point, _)| meets(point))
        .reduce(|best, next| if better(&next.0, &best.0) { next } else { best });
    match best {
        Some((point, policy)) => Ok(Fitted {
            policy: policy.clone(),
            on_fit: point.clone(),
        }),
        None => Err(none_meets(&points, target, deepest)),
    }
}

fn none_meets(points: &[(OperatingPoint, AnyPolicy)], target: Target, deepest: f64) -> PolicyError {
    let cost = |point: &&OperatingPoint| point.mean_macs;
    let all = || points.iter().map(|(point, _)| point);
    let cheapest = all().min_by(|a, b| cost(a).total_cmp(&cost(b)));
    PolicyError::NoneMeets {
        candidates: points.len(),
        target: match target {
            Target::MaxMacs(macs) => format!("at most {macs} MACs a sample on average"),
            Target::MaxDrop(drop) => {
                format!("at most {drop} points below the deepest exit's {deepest:.2} %")
            }
        },
        cheapest_macs: cheapest.map_or(f64::NAN, |point| point.mean_macs),
        cheapest_top1: cheapest.map_or(f64::NAN, |point| point.top1),
        best_top1: all().map(|point| point.top1).fold(f64::NAN, f64::max),
    }
}
