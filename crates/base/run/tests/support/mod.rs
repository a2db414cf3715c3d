//! Tables with chosen confidences.

#![allow(dead_code, reason = "each test file uses a part")]

use offramp_policies::{ExitTable, FitRows, FitSplit};

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
