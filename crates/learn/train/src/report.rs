//! The numbers of an evaluation, as `offramp eval` prints them.

use offramp_core::Cost;
use offramp_policies::ExitTable;
use serde::{Deserialize, Serialize};

/// Evaluation of every exit of a network on a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The split: `train`, `val` or `test`.
    pub split: String,
    /// Number of images.
    pub samples: usize,
    /// Every exit, shallowest first.
    pub exits: Vec<ExitReport>,
    /// All exits together.
    pub ensemble: EnsembleReport,
}

/// One exit on its own: every sample leaves there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitReport {
    /// The exit, from 0, shallowest first.
    pub exit: usize,
    /// Top-1 accuracy, percent.
    pub top1: f64,
    /// Top-5 accuracy, percent.
    pub top5: f64,
    /// Negative log-likelihood of the label, nats.
    pub nll: f64,
    /// Expected calibration error over 15 bins, percent.
    pub ece: f64,
    /// MACs for one image, all exits up to this one included.
    pub macs: u64,
    /// Parameters used for it, all exits up to this one included.
    pub params: u64,
}

/// The mean of the exits' probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleReport {
    /// Top-1 accuracy, percent.
    pub top1: f64,
}

impl EvalReport {
    /// The report on a table; `costs` are cumulative, one per exit.
    pub fn new(split: &str, table: &ExitTable, costs: &[Cost]) -> Self {
        let exits = table.metrics().into_iter().zip(costs);
        let exits = exits.map(|(metrics, cost)| ExitReport {
            exit: metrics.exit,
            top1: metrics.top1,
            top5: metrics.top5,
            nll: metrics.nll,
            ece: metrics.ece,
            macs: cost.macs,
            params: cost.params,
        });
        Self {
            split: split.to_owned(),
            samples: table.samples(),
            exits: exits.collect(),
            ensemble: EnsembleReport {
                top1: table.ensemble_top1(),
            },
        }
    }

    /// Accuracy by exit, percent, shallowest first.
    pub fn top1(&self) -> Vec<f64> {
        self.exits.iter().map(|exit| exit.top1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_exactly_the_promised_keys() {
        let logits = vec![vec![2.0, 0.0, 0.0, 1.0], vec![2.0, 0.0, 1.0, 0.0]];
        let table = ExitTable::new(logits, 2, vec![0, 1]).unwrap();
        let cost = Cost {
            macs: 5,
            params: 7,
            activations: 1,
        };
        let report = EvalReport::new("test", &table, &[cost, cost]);
        let json = serde_json::to_value(&report).unwrap();
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&json), ["ensemble", "exits", "samples", "split"]);
        let exit = ["ece", "exit", "macs", "nll", "params", "top1", "top5"];
        assert_eq!(keys(&json["exits"][0]), exit);
        assert_eq!(keys(&json["ensemble"]), ["top1"]);
        assert_eq!(json["exits"][0]["top1"], 100.0);
        assert_eq!(json["exits"][1]["top1"], 50.0);
        assert_eq!(json["exits"][1]["macs"], 5);
    }
}
