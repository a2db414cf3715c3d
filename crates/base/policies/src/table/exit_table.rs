//! The logits of every exit over a split, with labels.

use super::builder::check_batch;
use crate::{
    Ensemble, Evidence, ExitView, PolicyError, Readout, Temperatures,
    state::{Partition, ReadoutState},
};

/// The logits of every exit over a split, with labels: the input of every statistic.
///
/// What the statistics need of a (sample, exit) pair is computed once, when the table is built;
/// the logits are kept for [temperature scaling](crate::fit_temperatures) and ensembles, the softmax
/// for learned policies. Memory: about `8 N K C + 48 N K` bytes for `N` samples, `K` exits and `C` classes.
///
/// A table cannot be copied, so that rows given to [`ScoreRows`](crate::ScoreRows) cannot end in
/// [`FitRows`](crate::FitRows).
///
/// ```
/// use offramp_policies::ExitTable;
///
/// let shallow = vec![0.1, 0.0, /* sample 1 */ 0.0, 0.2];
/// let deep = vec![3.0, 0.0, /* sample 1 */ 1.0, 0.0];
/// let table = ExitTable::new(vec![shallow, deep], 2, vec![0, 1])?;
/// assert_eq!((table.exits(), table.samples()), (2, 2));
/// assert!(table.correct(1, 0) && !table.correct(1, 1));
/// # Ok::<(), offramp_policies::PolicyError>(())
/// ```
#[derive(Debug)]
pub struct ExitTable {
    classes: usize,
    labels: Vec<usize>,
    logits: Vec<Vec<f32>>,
    readout: Readout,
    /// `[N x K x C]`.
    probabilities: Vec<f32>,
    cells: Vec<Cell>,
}

/// What statistics need of one sample at one exit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) evidence: Evidence,
    /// `-ln p_label`, nats.
    pub(crate) nll: f64,
    pub(crate) correct: bool,
    /// Among the five most probable classes.
    pub(crate) top5: bool,
    /// Correctness of the mean softmax output of the exits up to this one.
    pub(crate) ensemble_correct: bool,
}

impl ExitTable {
    /// A table from the logits of each exit, row-major `[N x C]`, shallowest first, and `N` labels.
    ///
    /// # Errors
    /// [`NoExits`](PolicyError::NoExits), [`NoSamples`](PolicyError::NoSamples),
    /// [`TooFewClasses`](PolicyError::TooFewClasses), [`LogitCount`](PolicyError::LogitCount),
    /// [`LabelOutOfRange`](PolicyError::LabelOutOfRange), and
    /// [`NonFiniteLogit`](PolicyError::NonFiniteLogit), which names the first sample and its exit.
    pub fn new(
        logits: Vec<Vec<f32>>,
        classes: usize,
        labels: Vec<usize>,
    ) -> Result<Self, PolicyError> {
        check_batch(&logits, classes, &labels, 0)?;
        if labels.is_empty() {
            return Err(PolicyError::NoSamples);
        }
        let mut table = Self {
            classes,
            labels,
            logits,
            readout: Readout::default(),
            probabilities: Vec::new(),
            cells: Vec::new(),
        };
        table.compute_cells();
        Ok(table)
    }

    /// The same rows with the logits of exit `k` divided by temperature `T_k`.
    ///
    /// Replaces earlier temperatures; it does not multiply with them.
    ///
    /// # Errors
    /// [`ExitCount`](PolicyError::ExitCount) when the number of temperatures is not that of the exits.
    pub fn with_temperatures(mut self, temperatures: &Temperatures) -> Result<Self, PolicyError> {
        temperatures.check_exits(self.exits())?;
        self.readout.temperatures = Some(temperatures.clone());
        self.compute_cells();
        Ok(self)
    }

    /// The same rows with the output of exit `k` combined from exits `0..=k`.
    ///
    /// Works on the logits divided by their temperatures; replaces an earlier ensemble.
    ///
    /// # Errors
    /// [`ExitCount`](PolicyError::ExitCount) or [`Classes`](PolicyError::Classes) when the ensemble was
    /// fitted for another network.
    pub fn with_ensemble(mut self, ensemble: &Ensemble) -> Result<Self, PolicyError> {
        ensemble.check(self.exits(), self.classes)?;
        self.readout.ensemble = Some(ensemble.clone());
        self.compute_cells();
        Ok(self)
    }

    /// The number of exits, `K`.
    pub fn exits(&self) -> usize {
        self.logits.len()
    }

    /// The number of samples, `N`.
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// The number of classes, `C`.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The labels, one per sample.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// How the evidence was read from the logits.
    pub fn readout(&self) -> &Readout {
        &self.readout
    }

    /// The logits of one exit, row-major `[N x C]`, before any temperature.
    ///
    /// # Panics
    /// When the table has no such exit.
    pub fn logits(&self, exit: usize) -> &[f32] {
        &self.logits[exit]
    }

    /// What a policy sees of a sample at an exit.
    ///
    /// # Panics
    /// When the table has no such sample or exit.
    pub fn evidence(&self, sample: usize, exit: usize) -> &Evidence {
        &self.cell(sample, exit).evidence
    }

    /// Whether the exit's prediction is the label.
    ///
    /// # Panics
    /// When the table has no such sample or exit.
    pub fn correct(&self, sample: usize, exit: usize) -> bool {
        self.cell(sample, exit).correct
    }

    /// What a policy sees of a sample at an exit, the softmax included.
    ///
    /// # Panics
    /// When the table has no such sample or exit.
    pub fn view(&self, sample: usize, exit: usize) -> ExitView<'_> {
        let start = (sample * self.exits() + exit) * self.classes;
        ExitView {
            evidence: self.cell(sample, exit).evidence,
            probabilities: &self.probabilities[start..][..self.classes],
        }
    }

    /// `ln p`, `[N x C]`, of each exit by itself, without any ensemble.
    pub(crate) fn own_log_probabilities(&self) -> Vec<Vec<f64>> {
        let temperature = |exit: usize| {
            let temperatures = self.readout.temperatures.as_ref();
            temperatures.map_or(1.0, |t| t.as_slice()[exit])
        };
        let exits = self.logits.iter().enumerate().map(|(exit, logits)| {
            let rows = logits.chunks_exact(self.classes).flat_map(|row| {
                let partition = Partition::new(row, temperature(exit));
                row.iter().map(move |&z| partition.log_probability(z))
            });
            rows.collect()
        });
        exits.collect()
    }

    pub(crate) fn cell(&self, sample: usize, exit: usize) -> &Cell {
        assert!(
            exit < self.exits(),
            "exit {exit} of a table with {} exits",
            self.exits()
        );
        &self.cells[sample * self.exits() + exit]
    }

    /// One row of cells per sample, shallowest exit first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks_exact(self.exits())
    }

    fn compute_cells(&mut self) {
        let mut reading = ReadoutState::default();
        let mut ensemble = vec![0.0; self.classes];
        let pairs = self.samples() * self.exits();
        self.cells.clear();
        self.cells.reserve(pairs);
        self.probabilities.clear();
        self.probabilities.reserve(pairs * self.classes);
        for (sample, &label) in self.labels.iter().enumerate() {
            ensemble.fill(0.0);
            reading.clear();
            for logits in &self.logits {
                let row = &logits[sample * self.classes..][..self.classes];
                let view = self.readout.read(row, &mut reading);
                let evidence = view.evidence;
                self.probabilities.extend_from_slice(view.probabilities);
                let log_probabilities = reading.log_probabilities();
                for (sum, ln_p) in ensemble.iter_mut().zip(log_probabilities) {
                    *sum += ln_p.exp();
                }
                let top5 = match self.readout.ensemble {
                    None => rank(row, label) < 5,
                    Some(_) => rank(log_probabilities, label) < 5,
                };
                self.cells.push(Cell {
                    evidence,
                    nll: -log_probabilities[label],
                    correct: evidence.prediction == label,
                    top5,
                    ensemble_correct: rank(&ensemble, label) == 0,
                });
            }
        }
    }
}

/// The number of classes before `label` when sorted by falling value, ties by class.
fn rank<T: PartialOrd + Copy>(values: &[T], label: usize) -> usize {
    let own = values[label];
    values
        .iter()
        .enumerate()
        .filter(|&(c, &v)| v > own || (v == own && c < label))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_tables_are_named() {
        let message = |logits: Vec<Vec<f32>>, classes, labels: Vec<usize>| {
            ExitTable::new(logits, classes, labels)
                .unwrap_err()
                .to_string()
        };
        assert!(message(vec![], 2, vec![0]).starts_with("there are no exits"));
        assert!(message(vec![vec![]], 2, vec![]).starts_with("there are no samples"));
        assert!(message(vec![vec![1.0]], 1, vec![0]).starts_with("1 class(es)"));
        assert!(message(vec![vec![]], 0, vec![0]).starts_with("0 class(es)"));
        assert_eq!(
            message(vec![vec![0.0; 4], vec![0.0; 3]], 2, vec![0, 1]),
            "exit 1: 3 logits, but 2 labels and 2 classes need 4"
        );
        assert_eq!(
            message(vec![vec![0.0; 4]], 2, vec![0, 2]),
            "sample 1: label 2 is out of range, the classes are 0 to 1"
        );
        let broken = message(
            vec![vec![0.0; 4], vec![0.0, 0.0, 1.0, f32::NAN]],
            2,
            vec![0, 1],
        );
        assert!(
            broken.starts_with("sample 1, exit 1: the logit of class 1 is NaN"),
            "{broken}"
        );
        assert!(message(vec![vec![f32::INFINITY, 0.0]], 2, vec![0]).contains("is inf"));
    }

    #[test]
    fn ranks_break_ties_by_class_as_the_prediction_does() {
        let values = [1.0, 3.0, 3.0, 0.0];
        assert_eq!([0, 1, 2, 3].map(|label| rank(&values, label)), [2, 0, 1, 3]);
        let table = ExitTable::new(vec![vec![2.0; 6]], 6, vec![5]).unwrap();
        assert!(!table.cell(0, 0).top5 && !table.correct(0, 0));
        let table = ExitTable::new(vec![vec![2.0; 6]], 6, vec![4]).unwrap();
        assert!(table.cell(0, 0).top5);
    }

    #[test]
    fn temperatures_replace_each_other() {
        let table = ExitTable::new(vec![vec![2.0, 0.0]], 2, vec![0]).unwrap();
        let four = Temperatures::new(vec![4.0]).unwrap();
        let one = Temperatures::new(vec![1.0]).unwrap();
        let plain = *table.evidence(0, 0);
        let table = table.with_temperatures(&four).unwrap();
        assert_eq!(*table.evidence(0, 0), Evidence::from_logits(&[0.5, 0.0]));
        let table = table.with_temperatures(&one).unwrap();
        assert_eq!(*table.evidence(0, 0), plain);
        assert!(
            table
                .with_temperatures(&Temperatures::new(vec![1.0; 2]).unwrap())
                .is_err()
        );
    }
}
