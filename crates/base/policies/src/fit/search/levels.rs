//! Scores as ranks, for scans over all thresholds of an exit.

use crate::{Criterion, ExitTable};

/// The rows of a table with scores replaced by ranks, and costs beside them.
///
/// At each exit only the order of the scores matters: a threshold is a *level* `l`, the number of
/// distinct scores that leave. At level 0 no sample leaves, at the highest level every sample.
pub(super) struct LevelTable<'a> {
    criterion: Criterion,
    macs: &'a [u64],
    exits: Vec<ExitColumn>,
}

struct ExitColumn {
    /// The distinct scores, falling.
    scores: Vec<f64>,
    /// Of each sample, the index of its score.
    rank: Vec<u32>,
    /// The samples by rising rank.
    order: Vec<u32>,
    correct: Vec<bool>,
}

/// What a choice of levels does, in whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Right answers.
    pub(super) correct: usize,
    /// Cost of all samples together, MACs.
    pub(super) macs: u128,
}

impl<'a> LevelTable<'a> {
    pub(super) fn new(table: &ExitTable, criterion: Criterion, macs: &'a [u64]) -> Self {
        let exits = (0..table.exits())
            .map(|exit| {
                let score = |sample: usize| criterion.score(table.evidence(sample, exit));
                let samples = table.samples();
                let mut order: Vec<u32> = (0..samples as u32).collect();
                order.sort_by(|&a, &b| score(b as usize).total_cmp(&score(a as usize)));
                let mut scores: Vec<f64> = Vec::new();
                let mut rank = vec![0; samples];
                for &sample in &order {
                    let score = score(sample as usize);
                    if scores.last() != Some(&score) {
                        scores.push(score);
                    }
                    rank[sample as usize] = scores.len() as u32 - 1;
                }
                let correct = (0..samples)
                    .map(|sample| table.correct(sample, exit))
                    .collect();
                ExitColumn {
                    scores,
                    rank,
                    order,
                    correct,
                }
            })
            .collect();
        Self {
            criterion,
            macs,
            exits,
        }
    }

    pub(super) fn samples(&self) -> usize {
        self.exits[0].order.len()
    }

    /// Exits with a threshold to choose: all but the last.
    pub(super) fn choices(&self) -> usize {
        self.exits.len() - 1
    }

    /// The level at which every sample leaves.
    pub(super) fn top(&self, exit: usize) -> u32 {
        self.exits[exit].scores.len() as u32
    }

    /// Levels of thresholds given in the criterion's own units.
    pub(super) fn levels(&self, thresholds: &[f64]) -> Vec<u32> {
        let exits = self.exits.iter().zip(thresholds).take(self.choices());
        let leaving = |(exit, &threshold): (&ExitColumn, &f64)| {
            exit.scores
                .partition_point(|&score| score >= self.criterion.flip(threshold))
                as u32
        };
        exits.map(leaving).collect()
    }

    /// Thresholds, one per exit, in the criterion's own units.
    ///
    /// Half-way between two neighbouring scores, so that a logit rounded differently elsewhere does
    /// not change sides.
    pub(super) fn thresholds(&self, levels: &[u32]) -> Vec<f64> {
        let inner = levels
            .iter()
            .zip(&self.exits)
            .map(|(&level, exit)| match level as usize {
                0 => self.criterion.never(),
                level if level == exit.scores.len() => self.criterion.always(),
                level => self
                    .criterion
                    .flip((exit.scores[level - 1] + exit.scores[level]) / 2.0),
            });
        inner.chain([self.criterion.always()]).collect()
    }

    /// Calls `visit(level, outcome)` for every level of `exit` that makes a difference, the other
    /// exits' levels staying as they are; from no sample leaving at `exit` to every one.
    ///
    /// One pass over the rows and one over the order of the scores: `O(N K)`.
    pub(super) fn scan(
        &self,
        levels: &[u32],
        exit: usize,
        taken: &mut Vec<u32>,
        mut visit: impl FnMut(u32, Outcome),
    ) {
        let mut outcome = Outcome {
            correct: 0,
            macs: 0,
        };
        taken.clear();
        for sample in 0..self.samples() {
            let leaves = |&k: &usize| k != exit && self.exits[k].rank[sample] < levels[k];
            let k = (0..self.choices()).find(leaves).unwrap_or(self.choices());
            outcome.correct += usize::from(self.exits[k].correct[sample]);
            outcome.macs += u128::from(self.macs[k]);
            taken.push(k as u32);
        }
        visit(0, outcome);
        let here = &self.exits[exit];
        let mut lowest = None;
        for &sample in &here.order {
            let sample = sample as usize;
            let later = taken[sample] as usize;
            if later < exit {
                continue;
            }
            let rank = here.rank[sample];
            if let Some(complete) = lowest.filter(|&lowest| lowest != rank) {
                visit(complete + 1, outcome);
            }
            lowest = Some(rank);
            outcome.correct += usize::from(here.correct[sample]);
            outcome.correct -= usize::from(self.exits[later].correct[sample]);
            outcome.macs -= u128::from(self.macs[later] - self.macs[exit]);
        }
        if lowest.is_some() {
            visit(self.top(exit), outcome);
        }
    }
}
