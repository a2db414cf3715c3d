//! Tables with chosen confidences, and a slow, literal twin of what the crate computes.

#![allow(dead_code, reason = "each test file uses a part")]

use offramp_policies::{Criterion, Evidence, ExitTable, FitRows, FitSplit};

/// Failing cases are printed, not written beside the sources.
pub(crate) fn quiet() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        failure_persistence: None,
        ..Default::default()
    }
}

/// Classes of [`table`].
pub(crate) const CLASSES: usize = 10;

/// A table in which exit `k` is `confidence[k][i]` sure of sample `i` and right if `correct[k][i]`.
///
/// Every label is 0; a wrong exit predicts class 1; the rest of the probability is spread evenly,
/// so confidences must lie above 1 / [`CLASSES`].
pub(crate) fn table(confidence: &[Vec<f64>], correct: &[Vec<bool>]) -> ExitTable {
    let logits = confidence.iter().zip(correct).map(|(confidence, correct)| {
        let rows = confidence.iter().zip(correct).map(|(&p, &right)| {
            let rest = (1.0 - p) / (CLASSES - 1) as f64;
            let mut row = [rest.ln() as f32; CLASSES];
            row[usize::from(!right)] = p.ln() as f32;
            row
        });
        rows.flatten().collect()
    });
    let samples = confidence[0].len();
    ExitTable::new(logits.collect(), CLASSES, vec![0; samples]).unwrap()
}

/// [`table`] with correctness as the methods page writes it.
pub(crate) fn table_01(confidence: &[&[f64]], correct: &[&[u8]]) -> ExitTable {
    let confidence: Vec<_> = confidence.iter().map(|row| row.to_vec()).collect();
    let correct: Vec<_> = correct
        .iter()
        .map(|row| row.iter().map(|&c| c == 1).collect())
        .collect();
    table(&confidence, &correct)
}

/// The table of test T8 of the methods page.
pub(crate) fn t8() -> ExitTable {
    table_01(
        &[
            &[0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
            &[0.95, 0.5, 0.9, 0.85, 0.6, 0.7],
            &[0.99; 6],
        ],
        &[
            &[1, 1, 0, 1, 0, 0],
            &[1, 1, 1, 1, 0, 1],
            &[1, 1, 1, 1, 1, 0],
        ],
    )
}

/// Validation rows.
pub(crate) fn val(table: ExitTable) -> FitRows {
    FitRows::new(FitSplit::Val, table)
}

/// Does a row leave? Written out, not borrowed from the crate.
pub(crate) fn leaves(criterion: Criterion, evidence: &Evidence, threshold: f64) -> bool {
    match criterion {
        Criterion::Confidence => f64::from(evidence.confidence) >= threshold,
        Criterion::Entropy => f64::from(evidence.entropy) <= threshold,
        Criterion::Margin => f64::from(evidence.margin) >= threshold,
    }
}

/// Leaving counts, total MACs and correct answers, by the definition.
pub(crate) fn simulate(
    table: &ExitTable,
    criterion: Criterion,
    thresholds: &[f64],
    macs: &[u64],
) -> (Vec<usize>, u64, usize) {
    let last = table.exits() - 1;
    let (mut leaving, mut total, mut correct) = (vec![0; last + 1], 0, 0);
    for sample in 0..table.samples() {
        let mut exit = 0;
        while exit < last && !leaves(criterion, table.evidence(sample, exit), thresholds[exit]) {
            exit += 1;
        }
        leaving[exit] += 1;
        total += macs[exit];
        correct += usize::from(table.evidence(sample, exit).prediction == table.labels()[sample]);
    }
    (leaving, total, correct)
}

/// A small generator for tables of any size (SplitMix64; Steele, Lea, Flood, OOPSLA 2014).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Rows of varying difficulty: the deeper the exit, the higher the label's logit above the noise.
pub(crate) fn synthetic(random: &mut Random, rows: usize, exits: usize) -> ExitTable {
    let mut logits = vec![Vec::with_capacity(rows * CLASSES); exits];
    let mut labels = Vec::with_capacity(rows);
    for _ in 0..rows {
        let label = random.below(CLASSES);
        let ease = 6.0 * random.uniform();
        let noise: Vec<f64> = (0..CLASSES).map(|_| normal(random)).collect();
        for (k, logits) in logits.iter_mut().enumerate() {
            let depth = (k + 1) as f64 / exits as f64;
            logits.extend((0..CLASSES).map(|class| {
                let hit = if class == label {
                    ease * depth.sqrt()
                } else {
                    0.0
                };
                (2.0 * (hit + noise[class] + 0.7 * normal(random))) as f32
            }));
        }
        labels.push(label);
    }
    ExitTable::new(logits, CLASSES, labels).unwrap()
}

/// Nearly normal, mean 0, variance 1.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0
}
