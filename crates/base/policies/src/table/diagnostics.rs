//! The oracle, overthinking, agreement of exits, reliability diagrams.

use serde::Serialize;

use super::{
    evaluate::{check_macs, mean_macs},
    metrics::{ECE_BINS, ece_bin, percent},
};
use crate::{ExitTable, PolicyError};

/// Work done after some exit was already right, percent of all samples.
///
/// Kaya, Hong, Dumitras, Shallow-Deep Networks: Understanding and Mitigating Network Overthinking,
/// ICML 2019.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Overthinking {
    /// Right at an exit before the last, and right at the last: the rest was not needed.
    pub wasteful: f64,
    /// Right at an exit before the last, but wrong at the last: the rest did harm.
    pub destructive: f64,
}

/// How often the network overthinks. Both shares are 0 with one exit.
pub fn overthinking(table: &ExitTable) -> Overthinking {
    let last = table.exits() - 1;
    let share = |right: bool| {
        table.percent(|row| row[last].correct == right && row[..last].iter().any(|c| c.correct))
    };
    Overthinking {
        wasteful: share(true),
        destructive: share(false),
    }
}

/// The policy that knows the label: it stops at the first exit that is right.
///
/// No policy that answers with the exit it stops at is more accurate, and none as accurate is
/// cheaper.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Oracle {
    /// Samples right at one exit at least, percent.
    pub top1: f64,
    /// The share of samples whose first right exit is exit `k`.
    pub first_correct: Vec<f64>,
    /// The share of samples that no exit gets right; with `first_correct` it sums to 1.
    pub never_correct: f64,
    /// Mean cost, MACs; a sample that no exit gets right stops at exit 0.
    pub mean_macs: f64,
}

/// The oracle's operating point; `macs` as in [`evaluate`](crate::evaluate()).
///
/// # Errors
/// [`PolicyError::ExitCount`] or [`PolicyError::MacsNotCumulative`].
pub fn oracle(table: &ExitTable, macs: &[u64]) -> Result<Oracle, PolicyError> {
    check_macs(macs, table.exits())?;
    let (mut first, mut never, mut total) = (vec![0usize; table.exits()], 0usize, 0u128);
    for row in table.rows() {
        let exit = row.iter().position(|cell| cell.correct);
        match exit {
            Some(exit) => first[exit] += 1,
            None => never += 1,
        }
        total += u128::from(macs[exit.unwrap_or(0)]);
    }
    let samples = table.samples();
    Ok(Oracle {
        top1: percent(samples - never, samples),
        first_correct: first.iter().map(|&n| n as f64 / samples as f64).collect(),
        never_correct: never as f64 / samples as f64,
        mean_macs: mean_macs(total, samples),
    })
}

/// Samples on which exits `j` and `k` predict the same class, percent: `[j][k]`, symmetric, with 100
/// on the diagonal.
pub fn agreement(table: &ExitTable) -> Vec<Vec<f64>> {
    let same = |j: usize, k: usize| {
        table.percent(|row| row[j].evidence.prediction == row[k].evidence.prediction)
    };
    (0..table.exits())
        .map(|j| (0..table.exits()).map(|k| same(j, k)).collect())
        .collect()
}

/// The samples whose confidence lies in one of 15 bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// How many samples; bins without any are left out.
    pub samples: usize,
    /// Their mean confidence, 0 to 1.
    pub confidence: f64,
    /// The share of them that is right, 0 to 1.
    pub accuracy: f64,
}

/// How often the samples of each confidence are right, for each exit: what the expected calibration
/// error sums up, over the same bins ([`ExitMetrics::ece`](crate::ExitMetrics::ece)), least sure first.
pub fn reliability(table: &ExitTable) -> Vec<Vec<ReliabilityBin>> {
    let exit_bins = |exit: usize| {
        let mut bins = [(0usize, 0.0f64, 0usize); ECE_BINS];
        for row in table.rows() {
            let confidence = f64::from(row[exit].evidence.confidence);
            let bin = &mut bins[ece_bin(confidence)];
            *bin = (
                bin.0 + 1,
                bin.1 + confidence,
                bin.2 + usize::from(row[exit].correct),
            );
        }
        let filled = bins.into_iter().filter(|bin| bin.0 > 0);
        filled
            .map(|(samples, confidence, right)| ReliabilityBin {
                samples,
                confidence: confidence / samples as f64,
                accuracy: right as f64 / samples as f64,
            })
            .collect()
    };
    (0..table.exits()).map(exit_bins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row a sample: the class each of three exits predicts; the label is 0.
    fn table(predictions: &[[usize; 3]]) -> ExitTable {
        let exit = |k: usize| {
            let rows = predictions.iter().map(|row| {
                let mut logits = [0.0f32; 4];
                logits[row[k]] = 1.0;
                logits
            });
            rows.flatten().collect()
        };
        ExitTable::new((0..3).map(exit).collect(), 4, vec![0; predictions.len()]).unwrap()
    }

    #[test]
    fn counted_by_hand() {
        let table = table(&[[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 2, 0], [1, 1, 2]]);
        assert_eq!(
            overthinking(&table),
            Overthinking {
                wasteful: 40.0,
                destructive: 20.0
            }
        );
        let oracle = oracle(&table, &[10, 20, 40]).unwrap();
        assert_eq!(oracle.top1, 80.0);
        assert_eq!(oracle.first_correct, [0.4, 0.2, 0.2]);
        assert_eq!(oracle.never_correct, 0.2);
        assert_eq!(oracle.mean_macs, (10.0 + 20.0 + 10.0 + 40.0 + 10.0) / 5.0);
        let expected = [
            [100.0, 40.0, 20.0],
            [40.0, 100.0, 60.0],
            [20.0, 60.0, 100.0],
        ];
        assert_eq!(agreement(&table), expected);
    }

    /// The bins say the same as the calibration error: `ece = 100 sum n |accuracy - confidence| / N`.
    #[test]
    fn reliability_sums_up_to_the_calibration_error() {
        let table = table(&[[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 2, 0], [1, 1, 2]]);
        for (bins, metrics) in reliability(&table).iter().zip(table.metrics()) {
            assert_eq!(bins.iter().map(|bin| bin.samples).sum::<usize>(), 5);
            let gap = |bin: &ReliabilityBin| {
                20.0 * bin.samples as f64 * (bin.accuracy - bin.confidence).abs()
            };
            let ece: f64 = bins.iter().map(gap).sum();
            assert!((ece - metrics.ece).abs() < 1e-9, "{ece} for {metrics:?}");
        }
    }

    #[test]
    fn one_exit_cannot_think_too_long() {
        let table = ExitTable::new(vec![vec![1.0, 0.0]], 2, vec![0]).unwrap();
        assert_eq!(
            overthinking(&table),
            Overthinking {
                wasteful: 0.0,
                destructive: 0.0
            }
        );
        assert_eq!(agreement(&table), [[100.0]]);
        assert!(oracle(&table, &[10, 20]).is_err());
    }
}
