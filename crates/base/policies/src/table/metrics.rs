//! Metrics of every exit when all samples leave there.

use serde::Serialize;

use crate::ExitTable;

/// Bins of the expected calibration error, as in Guo et al.
pub(crate) const ECE_BINS: usize = 15;

/// The bin of a confidence, from 0; bins are closed above.
pub(crate) fn ece_bin(confidence: f64) -> usize {
    let bin = (confidence * ECE_BINS as f64).ceil() as usize;
    bin.clamp(1, ECE_BINS) - 1
}

/// How good one exit is when every sample leaves there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExitMetrics {
    /// The exit, from 0, shallowest first.
    pub exit: usize,
    /// Samples whose prediction is the label, percent.
    pub top1: f64,
    /// Samples whose label is among the five most probable classes, percent; 100 with at most five
    /// classes.
    pub top5: f64,
    /// Mean of `-ln p_label`, nats.
    pub nll: f64,
    /// Expected calibration error, percent.
    ///
    /// `100 sum_b n_b / N |accuracy_b - confidence_b|` over 15 bins `((b-1)/15, b/15]` of the largest
    /// probability; Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks,
    /// ICML 2017.
    pub ece: f64,
}

impl ExitTable {
    /// The metrics of each exit, shallowest first.
    pub fn metrics(&self) -> Vec<ExitMetrics> {
        (0..self.exits())
            .map(|exit| ExitMetrics {
                exit,
                top1: self.percent(|row| row[exit].correct),
                top5: self.percent(|row| row[exit].top5),
                nll: self.rows().map(|row| row[exit].nll).sum::<f64>() / self.samples() as f64,
                ece: self.ece(exit),
            })
            .collect()
    }

    /// Top-1 of the mean of all exits' softmax outputs, percent.
    pub fn ensemble_top1(&self) -> f64 {
        self.percent(|row| row[row.len() - 1].ensemble_correct)
    }

    /// Top-1 of the mean softmax output of exits `0..=k`, for each `k`, percent.
    pub fn running_ensemble_top1(&self) -> Vec<f64> {
        (0..self.exits())
            .map(|exit| self.percent(|row| row[exit].ensemble_correct))
            .collect()
    }

    /// The share of samples for which `holds`, percent.
    pub(crate) fn percent(&self, holds: impl Fn(&[super::exit_table::Cell]) -> bool) -> f64 {
        percent(self.rows().filter(|row| holds(row)).count(), self.samples())
    }

    fn ece(&self, exit: usize) -> f64 {
        let mut gaps = [0.0f64; ECE_BINS];
        for row in self.rows() {
            let confidence = f64::from(row[exit].evidence.confidence);
            gaps[ece_bin(confidence)] += f64::from(u8::from(row[exit].correct)) - confidence;
        }
        100.0 * gaps.iter().map(|gap| gap.abs()).sum::<f64>() / self.samples() as f64
    }
}

/// `100 part / whole`.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
