//! `eval.json`: how good every exit is on a split.

use offramp_graph::Cost;
use offramp_policies::ExitTable;
use serde::{Deserialize, Serialize};

use crate::check::{missing_or_not_negative, missing_or_percent, null_is_nan};
use crate::document::{Document, Fault};

/// Evaluation of every exit of a network on a split.
///
/// A number that was not finite is `null` in the file, and NaN here.
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
    #[serde(deserialize_with = "null_is_nan")]
    pub top1: f64,
    /// Top-5 accuracy, percent.
    #[serde(deserialize_with = "null_is_nan")]
    pub top5: f64,
    /// Negative log-likelihood of the label, nats.
    #[serde(deserialize_with = "null_is_nan")]
    pub nll: f64,
    /// Expected calibration error over 15 bins, percent.
    #[serde(deserialize_with = "null_is_nan")]
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
    #[serde(deserialize_with = "null_is_nan")]
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

    /// Multiply-accumulates by exit, shallowest first.
    pub fn macs(&self) -> impl Iterator<Item = u64> {
        self.exits.iter().map(|exit| exit.macs)
    }
}

impl Document for EvalReport {
    const FILE: &'static str = "eval.json";
    const NAME: &'static str = "report of an evaluation";
    const FORMAT: u32 = 1;
    const REMEDY: &'static str = "run `offramp eval` again";

    fn check(&self) -> Result<(), Fault> {
        if !["train", "val", "test"].contains(&self.split.as_str()) {
            let split = format!("{:?}", self.split);
            return Err(Fault::new("split", split, "it is train, val or test"));
        }
        if self.samples == 0 {
            return Err(Fault::new("samples", 0, "a score needs at least one row"));
        }
        if self.exits.is_empty() {
            return Err(Fault::new("exits", "[]", "a network has exits"));
        }
        for (place, exit) in self.exits.iter().enumerate() {
            let key = |name: &str| format!("exits[{place}].{name}");
            if exit.exit != place {
                let rule = format!("exits are counted from 0, this one is {place}");
                return Err(Fault::new(key("exit"), exit.exit, rule));
            }
            missing_or_percent(key("top1"), exit.top1)?;
            missing_or_percent(key("top5"), exit.top5)?;
            missing_or_not_negative(key("nll"), exit.nll)?;
            missing_or_percent(key("ece"), exit.ece)?;
            let previous = place.checked_sub(1).map(|before| &self.exits[before]);
            if let Some(previous) = previous {
                let both = [
                    ("macs", exit.macs, previous.macs),
                    ("params", exit.params, previous.params),
                ];
                if let Some((name, here, before)) = both.into_iter().find(|(_, a, b)| a < b) {
                    let rule = format!("costs are cumulative, the exit before costs {before}");
                    return Err(Fault::new(key(name), here, rule));
                }
            }
        }
        missing_or_percent("ensemble.top1", self.ensemble.top1)
    }
}

/// A number, unless it is one that was not finite.
pub fn known(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
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
        let text = report.to_text().unwrap();
        assert_eq!(EvalReport::parse(&text, "x".as_ref()).unwrap(), report);
    }
}
