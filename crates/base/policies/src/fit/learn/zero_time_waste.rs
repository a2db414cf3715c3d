//! Training of the ensemble of Zero Time Waste.

use super::adam::Adam;
use crate::{FitRows, PolicyError, ZtwEnsemble, ZtwExit, ensembles::normalise};

const STEPS: usize = 300;
const RATE: f64 = 0.02;

/// Weights and biases of the greatest likelihood, each exit for itself:
/// `argmin_{w, b} mean_i -ln q_k(i)_{y(i)}`, from `w = 0`, `b = 0`, which is the plain geometric mean.
///
/// 300 steps of Adam over all rows at once, rate 0.02; the objective is convex in `exp(w)` and `b`. The
/// authors draw `w` from `N(0, 0.01)`, train in batches, and leave the last exit out, as it is the
/// network's own; here it has an ensemble too. Starts from the rows' temperatures, if they have any.
/// Cost: `O(K^2 N C)` a step, about 3 s for 2,000 rows, 100 classes and 3 exits.
///
/// # Errors
/// None that rows can cause; the checks of [`ZtwEnsemble::new`] stand in for them.
pub(crate) fn fit_zero_time_waste(rows: &FitRows) -> Result<ZtwEnsemble, PolicyError> {
    let table = rows.table();
    // Any ensemble the rows carry would feed on itself.
    let log_probabilities = table.own_log_probabilities();
    let exits = (0..table.exits())
        .map(|exit| fit_exit(&log_probabilities[..=exit], table.labels(), table.classes()))
        .collect();
    ZtwEnsemble::new(exits)
}

/// `exits` has `ln p`, `[N x C]`, of each exit so far.
fn fit_exit(exits: &[Vec<f64>], labels: &[usize], classes: usize) -> ZtwExit {
    let mut parameters = vec![0.0; exits.len() + classes];
    let mut gradient = vec![0.0; parameters.len()];
    let mut adam = Adam::new(parameters.len(), RATE);
    for _ in 0..STEPS {
        loss(&parameters, exits, labels, classes, &mut gradient);
        adam.step(&mut parameters, &gradient);
    }
    let bias = parameters.split_off(exits.len());
    ZtwExit {
        log_weights: parameters,
        bias,
    }
}

/// The mean negative log-likelihood and its gradient by `(w, b)`:
/// `d/db = q - onehot(y)`, `d/dw_j = exp(w_j) / K sum_c (q_c - [c = y]) ln p_j(c)`.
fn loss(
    parameters: &[f64],
    exits: &[Vec<f64>],
    labels: &[usize],
    classes: usize,
    gradient: &mut [f64],
) -> f64 {
    let (log_weights, bias) = parameters.split_at(exits.len());
    let weights: Vec<f64> = (log_weights.iter())
        .map(|w| w.exp() / exits.len() as f64)
        .collect();
    gradient.fill(0.0);
    let (by_weight, by_bias) = gradient.split_at_mut(exits.len());
    let mut total = 0.0;
    let mut answer = vec![0.0; classes];
    for (sample, &label) in labels.iter().enumerate() {
        let row = sample * classes..(sample + 1) * classes;
        answer.copy_from_slice(bias);
        for (weight, exit) in weights.iter().zip(exits) {
            for (sum, ln_p) in answer.iter_mut().zip(&exit[row.clone()]) {
                *sum += weight * ln_p;
            }
        }
        normalise(&mut answer);
        total -= answer[label];
        for q in &mut answer {
            *q = q.exp();
        }
        answer[label] -= 1.0;
        for (sum, slope) in by_bias.iter_mut().zip(&answer) {
            *sum += slope;
        }
        for ((sum, weight), exit) in by_weight.iter_mut().zip(&weights).zip(exits) {
            let slopes = answer.iter().zip(&exit[row.clone()]);
            *sum += weight * slopes.map(|(slope, ln_p)| slope * ln_p).sum::<f64>();
        }
    }
    let samples = labels.len() as f64;
    gradient.iter_mut().for_each(|sum| *sum /= samples);
    total / samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_differences() {
        let ln = |p: [f64; 6]| p.map(f64::ln).to_vec();
        let exits = [
            ln([0.5, 0.3, 0.2, 0.1, 0.1, 0.8]),
            ln([0.2, 0.7, 0.1, 0.3, 0.3, 0.4]),
        ];
        let at = vec![0.2, -0.4, 0.1, -0.3, 0.5];
        let labels = [1, 2];
        let mut gradient = vec![0.0; 5];
        loss(&at, &exits, &labels, 3, &mut gradient);
        for (i, &slope) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut parameters = at.clone();
                parameters[i] += by;
                loss(&parameters, &exits, &labels, 3, &mut [0.0; 5])
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!(
                (slope - expected).abs() < 1e-8,
                "{i}: {slope} for {expected}"
            );
        }
    }
}
