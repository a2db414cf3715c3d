//! Thresholds for a budget, by MSDNet's geometric distribution over the exits.

use crate::{AnyPolicy, Criterion, FitRows, PolicyError};

/// Budgets of MSDNet's search: `q = p / 20` for `p` from 1 to 39, cheapest first.
pub(crate) const BUDGETS: usize = 39;

/// MSDNet's thresholds for a geometric distribution of the samples over the exits.
///
/// Exit `k` of `K` (from 1) is to answer the share `P_k = q^k / sum_j q^j` of all `N` samples. From
/// the shallowest exit on, its threshold is the `floor(N P_k)`-th largest score among the samples
/// that have not left yet; *every* sample with at least that score then leaves, ties too. An exit
/// that should answer none, or more than are left, gets [`Criterion::never`] (1e8); the last one
/// gets [`Criterion::always`] (-1e8). Small `q` means cheap.
///
/// `N P_k` is computed as `N q^k / sum_j q^j` in `f64`, so that whole numbers stay whole; the
/// published code takes `N (q^k / sum)` in `f32` and can be one sample off there.
///
/// Huang et al., Multi-Scale Dense Networks for Resource Efficient Image Classification, ICLR 2018;
/// procedure as in `adaptive_inference.py` of kalviny/MSDNet-PyTorch.
///
/// # Errors
/// [`PolicyError::InvalidBudget`] when `q` is not positive and finite.
pub fn msdnet_thresholds(
    rows: &FitRows,
    criterion: Criterion,
    q: f64,
) -> Result<Vec<f64>, PolicyError> {
    if !(q.is_finite() && q > 0.0) {
        return Err(PolicyError::InvalidBudget { q });
    }
    let table = rows.table();
    let quotas = quotas(table.samples(), table.exits(), q);
    let score = |sample, exit| criterion.score(table.evidence(sample, exit));
    let mut thresholds: Vec<f64> = quota_thresholds(table.samples(), &quotas, score)
        .into_iter()
        .map(|threshold| threshold.map_or(criterion.never(), |t| criterion.flip(t)))
        .collect();
    thresholds[table.exits() - 1] = criterion.always();
    Ok(thresholds)
}

/// Thresholds on scores with which `quotas[k]` of the samples leave at exit `k`, ties aside; `None` at an
/// exit that no sample is to leave at, or more than are left. The last exit takes the rest.
pub(crate) fn quota_thresholds(
    samples: usize,
    quotas: &[usize],
    score: impl Fn(usize, usize) -> f64,
) -> Vec<Option<f64>> {
    let mut thresholds = vec![None; quotas.len()];
    let mut staying: Vec<usize> = (0..samples).collect();
    for (exit, &quota) in quotas.iter().enumerate().take(quotas.len() - 1) {
        if quota == 0 || quota > staying.len() {
            continue;
        }
        let mut scores: Vec<f64> = staying.iter().map(|&sample| score(sample, exit)).collect();
        let (_, &mut threshold, _) =
            scores.select_nth_unstable_by(quota - 1, |a, b| b.total_cmp(a));
        thresholds[exit] = Some(threshold);
        staying.retain(|&sample| score(sample, exit) < threshold);
    }
    thresholds
}

/// `floor(N P_k)` for each exit.
fn quotas(samples: usize, exits: usize, q: f64) -> Vec<usize> {
    // Powers relative to the largest one: q^k itself leaves the range of f64 for extreme q.
    let offset = if q > 1.0 { exits as i32 - 1 } else { 0 };
    let weights: Vec<f64> = (0..exits as i32).map(|k| q.powi(k - offset)).collect();
    let total: f64 = weights.iter().sum();
    weights
        .iter()
        .map(|weight| (samples as f64 * weight / total).floor() as usize)
        .collect()
}

/// The policies of the 39 budgets, cheapest first.
pub(crate) fn msdnet_policies(
    rows: &FitRows,
    criterion: Criterion,
) -> Result<Vec<AnyPolicy>, PolicyError> {
    (1..=BUDGETS)
        .map(|p| {
            let thresholds = msdnet_thresholds(rows, criterion, p as f64 / 20.0)?;
            AnyPolicy::with_thresholds(criterion, thresholds)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_whole_numbers_are_not_rounded_away() {
        assert_eq!(quotas(6, 3, 0.5), [3, 1, 0]);
        assert_eq!(quotas(7, 3, 0.5), [4, 2, 1]);
        for exits in 1..60 {
            assert_eq!(quotas(7 * exits, exits, 1.0), vec![7; exits]);
        }
    }

    #[test]
    fn extreme_budgets_send_all_to_one_end() {
        assert_eq!(quotas(100, 4, 1e-200), [100, 0, 0, 0]);
        assert_eq!(quotas(100, 4, 1e200), [0, 0, 0, 100]);
    }
}
