//! Temperature scaling, one temperature per exit.

use serde::{Deserialize, Serialize};

use crate::{ExitTable, FitRows, PolicyError, state::Partition};

/// One temperature per exit, shallowest first; the exit's logits are divided by it.
///
/// Every one is positive and finite, also after reading from a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Temperatures(Vec<f64>);

impl Temperatures {
    /// Checks the list.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`] or [`PolicyError::InvalidTemperature`].
    pub fn new(temperatures: Vec<f64>) -> Result<Self, PolicyError> {
        if temperatures.is_empty() {
            return Err(PolicyError::NoExits);
        }
        match temperatures
            .iter()
            .position(|t| !(t.is_finite() && *t > 0.0))
        {
            Some(exit) => Err(PolicyError::InvalidTemperature {
                exit,
                value: temperatures[exit],
            }),
            None => Ok(Self(temperatures)),
        }
    }

    /// The temperatures, shallowest exit first.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Refuses temperatures made for another number of exits.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`].
    pub fn check_exits(&self, exits: usize) -> Result<(), PolicyError> {
        let found = self.0.len();
        if found == exits {
            Ok(())
        } else {
            Err(PolicyError::ExitCount {
                what: "temperatures",
                found,
                expected: exits,
            })
        }
    }
}

impl From<Temperatures> for Vec<f64> {
    fn from(temperatures: Temperatures) -> Self {
        temperatures.0
    }
}

impl TryFrom<Vec<f64>> for Temperatures {
    type Error = PolicyError;

    fn try_from(temperatures: Vec<f64>) -> Result<Self, PolicyError> {
        Self::new(temperatures)
    }
}

/// Bounds of a fitted temperature. Where an exit is always right, or no better than chance, the
/// likelihood has no maximum inside and the nearer bound is the answer.
const MIN_TEMPERATURE: f64 = 0.05;
const MAX_TEMPERATURE: f64 = 20.0;

/// For each exit the temperature of the greatest likelihood:
/// `T_k = argmin_T mean_i -ln softmax(z_k(i) / T)_{y(i)}`, within [0.05, 20].
///
/// Starts from the raw logits, whatever temperatures the rows carry. The objective is convex in
/// `1 / T`, so the minimum is where its derivative changes sign; Newton's steps, kept inside a
/// bracket that shrinks, find it to a relative 1e-9 in about ten passes over the logits, 0.1 s
/// each for 10,000 rows, 200 classes and 4 exits. Accuracy does not change, confidences do.
///
/// Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
pub fn fit_temperatures(rows: &FitRows) -> Temperatures {
    let table = rows.table();
    Temperatures(
        (0..table.exits())
            .map(|exit| fit_exit(table, exit))
            .collect(),
    )
}

fn fit_exit(table: &ExitTable, exit: usize) -> f64 {
    let (least, most) = (1.0 / MAX_TEMPERATURE, 1.0 / MIN_TEMPERATURE);
    // The minimum lies between these; nothing is known of it at first.
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut inverse = 1.0;
    for _ in 0..100 {
        let (slope, curvature) = derivatives(table, exit, inverse);
        let at_bound = (slope > 0.0 && inverse <= least) || (slope < 0.0 && inverse >= most);
        if slope == 0.0 || at_bound {
            break;
        }
        if slope > 0.0 {
            high = inverse;
        } else {
            low = inverse;
        }
        // Without curvature the step is infinite and ends at a bound.
        let newton = (inverse - slope / curvature).clamp(least, most);
        let halved = (f64::max(low, least) * f64::min(high, most)).sqrt();
        let next = if newton > low && newton < high {
            newton
        } else {
            halved
        };
        let converged = (next - inverse).abs() <= 1e-9 * inverse;
        inverse = next;
        if converged {
            break;
        }
    }
    1.0 / inverse
}

/// First and second derivative of the mean negative log-likelihood by `b = 1 / T`:
/// `mean (E_p[z] - z_y)` and `mean Var_p[z]`, with `p = softmax(b z)`.
fn derivatives(table: &ExitTable, exit: usize, inverse: f64) -> (f64, f64) {
    let classes = table.classes();
    let mut probabilities = Vec::with_capacity(classes);
    let (mut slope, mut curvature) = (0.0, 0.0);
    for (row, &label) in table.logits(exit).chunks_exact(classes).zip(table.labels()) {
        Partition::new(row, 1.0 / inverse).probabilities(row, &mut probabilities);
        // Distances from the label's logit: the logits' common offset cancels before it can round.
        let own = f64::from(row[label]);
        let distances = || row.iter().map(|&z| f64::from(z) - own);
        let mean: f64 = distances().zip(&probabilities).map(|(d, p)| d * p).sum();
        slope += mean;
        curvature += distances()
            .zip(&probabilities)
            .map(|(d, p)| (d - mean).powi(2) * p)
            .sum::<f64>();
    }
    let samples = table.samples() as f64;
    (slope / samples, curvature / samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FitSplit;

    fn fitted(logits: Vec<f32>, labels: Vec<usize>) -> f64 {
        let table = ExitTable::new(vec![logits], 2, labels).unwrap();
        fit_temperatures(&FitRows::new(FitSplit::Val, table)).as_slice()[0]
    }

    /// Two classes, logits (m, 0) in every row, a share `a` of the rows right: the best confidence
    /// is `a`, that is `m / T = ln(a / (1 - a))`.
    #[test]
    fn the_closed_form_of_two_classes() {
        let temperature = fitted([5.0, 0.0].repeat(4), vec![0, 0, 0, 1]);
        assert!(
            (temperature - 5.0 / 3f64.ln()).abs() < 1e-8,
            "{temperature}"
        );
        let temperature = fitted([0.5, 0.0].repeat(10), [vec![0; 9], vec![1]].concat());
        assert!(
            (temperature - 0.5 / 9f64.ln()).abs() < 1e-8,
            "{temperature}"
        );
    }

    #[test]
    fn without_an_inner_maximum_the_bound_is_the_answer() {
        let always_right = fitted(vec![1.0, 0.0, 0.0, 2.0], vec![0, 1]);
        assert!(
            (always_right - MIN_TEMPERATURE).abs() < 1e-6,
            "{always_right}"
        );
        let always_wrong = fitted(vec![1.0, 0.0, 0.0, 2.0], vec![1, 0]);
        assert!(
            (always_wrong - MAX_TEMPERATURE).abs() < 1e-4,
            "{always_wrong}"
        );
        assert_eq!(fitted(vec![3.0; 4], vec![0, 1]), 1.0, "nothing to scale");
    }

    #[test]
    fn fitting_again_gives_the_same() {
        let table = || ExitTable::new(vec![[5.0, 0.0].repeat(4)], 2, vec![0, 0, 0, 1]).unwrap();
        let rows = FitRows::new(FitSplit::Val, table());
        let first = fit_temperatures(&rows);
        let rows = rows.with_temperatures(&first).unwrap();
        assert_eq!(fit_temperatures(&rows), first);
    }

    #[test]
    fn bad_temperatures_are_named() {
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Temperatures::new(vec![1.0, value]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("the temperature of exit 1 is"),
                "{error}"
            );
        }
        assert!(serde_json::from_str::<Temperatures>("[1.0, 0.0]").is_err());
        assert!(serde_json::from_str::<Temperatures>("[]").is_err());
    }
}
