//! Training of the gates of JEI-DNN.

use super::logistic::regress;
use crate::{
    AnyPolicy, FitRows, Fitted, Gate, GatePolicy, PolicyError, Target, choose,
    policies::gate_features, table::check_macs,
};

/// What a step in relative cost is worth in cross-entropy, nats: settings tried, rising by a factor.
const PRICES: i32 = 40;
const LEAST_PRICE: f64 = 0.01;
const FACTOR: f64 = 1.25;

/// Keeps separable rows from infinite weights; far below one row's pull.
const RIDGE: f64 = 1e-3;

/// The [`GatePolicy`] that meets `target`, of 40 trained for as many prices `lambda` of cost, 0.01 to
/// about 60 nats for the cost of the full network, and of the closed gates. (A price of 0 would not close
/// them: each sample's likeliest exit is often not the last.)
///
/// For one `lambda`, each sample has a best exit,
/// `l* = argmin_l CE_l + lambda macs_l / macs_K`, and gate `l` learns `l* <= l` by logistic regression,
/// with positives weighed by the ratio of negatives to positives over all gates. That is the gate loss
/// of JEI-DNN; with the exits as they are it is convex and has one minimum, found by Newton's method
/// (the authors train gates and exits in turn, by gradient steps, and choose `lambda` by hand; they
/// write the cost of exit `l` as `l / K`).
///
/// # Errors
/// [`PolicyError::OneExit`], and those of [`choose`].
pub(crate) fn fit_gates(
    rows: &FitRows,
    macs: &[u64],
    target: Target,
) -> Result<Fitted, PolicyError> {
    let exits = rows.table().exits();
    if exits < 2 {
        return Err(PolicyError::OneExit);
    }
    check_macs(macs, exits)?;
    let features = features(rows);
    let closed = vec![Gate::constant(-1e8); exits - 1];
    let trained = (0..PRICES).map(|i| train(rows, &features, macs, LEAST_PRICE * FACTOR.powi(i)));
    let candidates = [closed]
        .into_iter()
        .chain(trained)
        .map(|gates| Ok(AnyPolicy::Gates(GatePolicy::new(gates)?)))
        .collect::<Result<Vec<_>, PolicyError>>()?;
    choose(rows, candidates, macs, target)
}

/// Of each exit but the last, what its gate sees of each sample.
fn features(rows: &FitRows) -> Vec<Vec<[f64; 5]>> {
    let table = rows.table();
    (0..table.exits() - 1)
        .map(|exit| {
            let view = (0..table.samples()).map(|sample| table.view(sample, exit));
            view.map(|view| gate_features(&view)).collect()
        })
        .collect()
}

fn train(rows: &FitRows, features: &[Vec<[f64; 5]>], macs: &[u64], price: f64) -> Vec<Gate> {
    let best = best_exits(rows, macs, price);
    let open = |exit: usize| {
        best.iter()
            .map(move |&best| best <= exit)
            .collect::<Vec<_>>()
    };
    let targets: Vec<Vec<bool>> = (0..features.len()).map(open).collect();
    let ones = targets.iter().flatten().filter(|&&open| open).count();
    let zeros = features.len() * best.len() - ones;
    if ones == 0 || zeros == 0 {
        // Nothing to tell apart: all gates closed, or all open.
        let bias = if ones == 0 { -1e8 } else { 1e8 };
        return vec![Gate::constant(bias); features.len()];
    }
    let weight = |open| {
        if open {
            zeros as f64 / ones as f64
        } else {
            1.0
        }
    };
    (features.iter().zip(&targets))
        .map(|(rows, targets)| Gate::from(regress(rows, targets, weight, RIDGE)))
        .collect()
}

/// `argmin_l CE_l + price macs_l / macs_K` of each sample, the shallowest among equals.
fn best_exits(rows: &FitRows, macs: &[u64], price: f64) -> Vec<usize> {
    let table = rows.table();
    let full = macs[macs.len() - 1].max(1) as f64;
    (table.rows())
        .map(|row| {
            let loss = |exit: usize| row[exit].nll + price * macs[exit] as f64 / full;
            (1..row.len()).fold(
                0,
                |best, exit| if loss(exit) < loss(best) { exit } else { best },
            )
        })
        .collect()
}
