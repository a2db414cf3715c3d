//! Means, spreads and bins.

/// Bins of a reliability diagram, as many as the expected calibration error of `offramp eval` has.
pub(crate) const BINS: usize = 15;

/// The mean of some values and their spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    /// `sqrt(sum (x - mean)^2 / (n - 1))`; `None` for one value.
    pub(crate) deviation: Option<f64>,
    pub(crate) count: usize,
}

impl Spread {
    /// Of the values that are there and finite; `None` when there is none.
    pub(crate) fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values
            .into_iter()
            .flatten()
            .filter(|v| v.is_finite())
            .collect();
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        Some(Self {
            mean,
            deviation,
            count,
        })
    }
}

/// The images whose confidence falls in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bin {
    pub(crate) count: usize,
    /// Mean confidence, 0 to 1; 0 for an empty bin.
    pub(crate) confidence: f64,
    /// Share of right answers, 0 to 1; 0 for an empty bin.
    pub(crate) accuracy: f64,
}

/// The [`BINS`] bins `((b-1)/15, b/15]` of (confidence, right?).
pub(crate) fn reliability(samples: impl IntoIterator<Item = (f64, bool)>) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); BINS];
    for (confidence, right) in samples {
        let bin = (confidence * BINS as f64).ceil() as usize;
        let bin = &mut bins[bin.clamp(1, BINS) - 1];
        bin.count += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(right));
    }
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.confidence /= bin.count as f64;
        bin.accuracy /= bin.count as f64;
    }
    bins
}

/// Expected calibration error, percent: `100 sum_b n_b / N |accuracy_b - confidence_b|`.
pub(crate) fn calibration_error(bins: &[Bin]) -> f64 {
    let samples: usize = bins.iter().map(|bin| bin.count).sum();
    let gaps = bins
        .iter()
        .map(|bin| bin.count as f64 * (bin.accuracy - bin.confidence).abs());
    100.0 * gaps.sum::<f64>() / samples.max(1) as f64
}

/// Percent of the images of each class that leave at each exit, `[classes][exits]`; `None` for a
/// class without images.
pub(crate) fn shares_by_class(
    labels: &[usize],
    taken: &[usize],
    classes: usize,
    exits: usize,
) -> Vec<Option<Vec<f64>>> {
    let mut counts = vec![vec![0usize; exits]; classes];
    for (&label, &exit) in labels.iter().zip(taken) {
        counts[label][exit] += 1;
    }
    let percent = |row: Vec<usize>| {
        let all: usize = row.iter().sum();
        let share = |&n: &usize| 100.0 * n as f64 / all as f64;
        (all > 0).then(|| row.iter().map(share).collect())
    };
    counts.into_iter().map(percent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_policies::ExitTable;

    #[test]
    fn spreads() {
        // Python: statistics.mean([38.88, 39.5, 41.0]), statistics.stdev(...)
        let spread = Spread::of([Some(38.88), Some(39.5), Some(41.0)]).unwrap();
        assert!((spread.mean - 39.79333333333334).abs() < 1e-12);
        assert!((spread.deviation.unwrap() - 1.0900152904126303).abs() < 1e-12);
        let one = Spread::of([Some(2.0), None, Some(f64::NAN)]).unwrap();
        assert_eq!((one.mean, one.deviation, one.count), (2.0, None, 1));
        assert_eq!(Spread::of([None]), None);
    }

    #[test]
    fn bins_are_those_of_the_calibration_error() {
        let noise =
            |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_mul(7) >> 20) as f32 / 1024.0 - 1.0;
        let logits: Vec<f32> = (0..900).map(noise).collect();
        let labels: Vec<usize> = (0..300).map(|i| i * 7 % 3).collect();
        let table = ExitTable::new(vec![logits], 3, labels).unwrap();
        let samples = (0..300).map(|i| {
            let confidence = f64::from(table.evidence(i, 0).confidence);
            (confidence, table.correct(i, 0))
        });
        let bins = reliability(samples);
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), 300);
        assert!((calibration_error(&bins) - table.metrics()[0].ece).abs() < 1e-9);
    }

    #[test]
    fn edges_of_bins_belong_below() {
        let bins = reliability([(0.2, true), (0.2000001, false), (1.0, true), (0.0, false)]);
        let counts: Vec<usize> = bins.iter().map(|bin| bin.count).collect();
        assert_eq!(counts, [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bins[2].accuracy, 1.0);
    }

    #[test]
    fn shares() {
        let shares = shares_by_class(&[0, 0, 0, 0, 2], &[0, 0, 0, 1, 1], 3, 2);
        assert_eq!(
            shares,
            [Some(vec![75.0, 25.0]), None, Some(vec![0.0, 100.0])]
        );
    }
}
