//! The Pareto frontier of cost and accuracy, by local search.

use std::collections::HashSet;

use super::levels::{LevelTable, Outcome};
use crate::fit::msdnet::msdnet_policies;
use crate::{
    AnyPolicy, Criterion, FitRows, OperatingPoint, PolicyError, evaluate, table::check_macs,
};

/// Bound on the work of a search, in table cells read by scans.
const WORK: usize = 50_000_000;
/// Points of the frontier whose neighbourhood is scanned before the frontier is taken again.
const ROUND: usize = 32;

/// The best operating points found on `rows`, from cheap to expensive: each is more accurate than all
/// cheaper ones (a Pareto frontier).
///
/// A local search for the whole frontier at once. Starting from the 39 budgets of MSDNet's search
/// and from each exit taken alone, it changes one exit's threshold at a time: one scan of the rows
/// gives the outcome of *every* value of that threshold, and each outcome that is cheaper than what
/// was known for its number of right answers is kept. The neighbours of kept points on the frontier
/// are scanned in turn, until nothing on the frontier is new or the work reaches a fixed bound. Hence
///
/// - no point of MSDNet's search is better, on these rows, than the frontier;
/// - with two exits the frontier is exact; with more it is a local optimum. Against brute force on
///   small tables (`tests/search.rs`) it was exact at all of 21,546 budgets with three exits and
///   at 46,818 of 46,833 with four;
/// - same rows, same frontier: no randomness, and costs and right answers are whole numbers.
///
/// Cost: `O(K^2 N)` a point scanned, bounded by 5e7 cell reads beyond the starting points. For 10,000
/// rows and 4 exits [`fit`](super::fit) takes 0.13 s on one busy core (`examples/frontier.rs`; four
/// times the work gained nothing on rows not fitted on), and this function somewhat longer, because
/// every point is evaluated. Memory `O(K N)`.
///
/// A finer fit is also a finer fit to the noise of few rows: score it on other rows.
///
/// # Errors
/// [`PolicyError::OneExit`], [`PolicyError::ExitCount`] or [`PolicyError::MacsNotCumulative`].
pub fn frontier(
    rows: &FitRows,
    criterion: Criterion,
    macs: &[u64],
) -> Result<Vec<OperatingPoint>, PolicyError> {
    let search = Search::run(rows, criterion, macs)?;
    search
        .frontier()
        .into_iter()
        .rev()
        .map(|entry| Ok(search.point(rows, &entry)?.1))
        .collect()
}

/// The cheapest way found to a number of right answers: `bases[base]` with one level replaced.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) outcome: Outcome,
    base: usize,
    exit: usize,
    level: u32,
}

pub(super) struct Search<'a> {
    table: LevelTable<'a>,
    criterion: Criterion,
    macs: &'a [u64],
    bases: Vec<Vec<u32>>,
    /// By number of right answers.
    cheapest: Vec<Option<Entry>>,
}

impl<'a> Search<'a> {
    pub(super) fn run(
        rows: &FitRows,
        criterion: Criterion,
        macs: &'a [u64],
    ) -> Result<Self, PolicyError> {
        let exits = rows.table().exits();
        if exits < 2 {
            return Err(PolicyError::OneExit);
        }
        check_macs(macs, exits)?;
        let table = LevelTable::new(rows.table(), criterion, macs);
        let cheapest = vec![None; table.samples() + 1];
        let mut search = Self {
            table,
            criterion,
            macs,
            bases: Vec::new(),
            cheapest,
        };
        let mut seeds: Vec<Vec<u32>> = msdnet_policies(rows, criterion)?
            .iter()
            .map(|policy| search.table.levels(crate::ExitPolicy::thresholds(policy)))
            .collect();
        seeds.extend((0..exits).map(|alone| search.alone(alone)));
        search.climb(seeds);
        Ok(search)
    }

    /// Every sample leaves at `exit`.
    fn alone(&self, exit: usize) -> Vec<u32> {
        (0..self.table.choices())
            .map(|k| if k == exit { self.table.top(k) } else { 0 })
            .collect()
    }

    fn climb(&mut self, seeds: Vec<Vec<u32>>) {
        let choices = self.table.choices();
        let cells = choices * (choices + 1) * self.table.samples();
        let mut left = (WORK / cells).max(1);
        let mut scanned = HashSet::new();
        let mut round = seeds;
        while !round.is_empty() {
            for levels in round {
                if scanned.insert(levels.clone()) {
                    self.scan_around(levels);
                }
            }
            let fresh: Vec<_> = self
                .frontier()
                .iter()
                .map(|entry| self.levels_of(entry))
                .filter(|levels| !scanned.contains(levels))
                .collect();
            let count = fresh.len().min(ROUND).min(left);
            left -= count;
            round = (0..count)
                .map(|i| fresh[i * fresh.len() / count].clone())
                .collect();
        }
    }

    /// Offers every point that differs from `levels` at one exit.
    fn scan_around(&mut self, levels: Vec<u32>) {
        let base = self.bases.len();
        let mut taken = Vec::with_capacity(self.table.samples());
        for exit in 0..self.table.choices() {
            self.table
                .scan(&levels, exit, &mut taken, |level, outcome| {
                    let known = &mut self.cheapest[outcome.correct];
                    if known.is_none_or(|known| outcome.macs < known.outcome.macs) {
                        *known = Some(Entry {
                            outcome,
                            base,
                            exit,
                            level,
                        });
                    }
                });
        }
        self.bases.push(levels);
    }

    fn levels_of(&self, entry: &Entry) -> Vec<u32> {
        let mut levels = self.bases[entry.base].clone();
        levels[entry.exit] = entry.level;
        levels
    }

    /// The points that no other beats in both cost and accuracy, the most accurate first.
    pub(super) fn frontier(&self) -> Vec<Entry> {
        let mut frontier: Vec<Entry> = Vec::new();
        for entry in self.cheapest.iter().rev().flatten() {
            if frontier
                .last()
                .is_none_or(|last| entry.outcome.macs < last.outcome.macs)
            {
                frontier.push(*entry);
            }
        }
        frontier
    }

    /// The policy of an entry, and what it really does on the rows.
    pub(super) fn point(
        &self,
        rows: &FitRows,
        entry: &Entry,
    ) -> Result<(AnyPolicy, OperatingPoint), PolicyError> {
        let thresholds = self.table.thresholds(&self.levels_of(entry));
        let policy = AnyPolicy::with_thresholds(self.criterion, thresholds)?;
        let point = evaluate(&policy, rows.table(), self.macs)?;
        Ok((policy, point))
    }
}
