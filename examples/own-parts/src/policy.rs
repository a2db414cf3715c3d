//! A policy: when an image stops.

use offramp_policies::{
    AnyPolicy, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyError,
    Target, choose,
};
use serde::{Deserialize, Serialize};

/// Stops once the confidences of the exits so far add up to a sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConfidenceSum {
    num_exits: usize,
    sum: f64,
}

impl ExitPolicy for ConfidenceSum {
    fn num_exits(&self) -> usize {
        self.num_exits
    }

    fn score(&self, _: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        past.last().map_or(0.0, |last| last.score) + f64::from(view.evidence.confidence)
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        if score >= self.sum || exit + 1 >= self.num_exits {
            Decision::Exit
        } else {
            Decision::Continue
        }
    }
}

impl NamedPolicy for ConfidenceSum {
    const NAME: &'static str = "confidence-sum";
    const DOC: &'static str = "stop when the confidences so far add up to a sum";

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        match num_exits {
            0 => Err(PolicyError::NoExits),
            // No sum of shares is larger than their number.
            _ => Ok(Self {
                num_exits,
                sum: num_exits as f64 + 1.0,
            }),
        }
    }

    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
        let num_exits = rows.table().exits();
        let sums = (0..=200).map(|i| f64::from(i) / 100.0);
        let all = sums.map(|sum| AnyPolicy::custom(Self { num_exits, sum }));
        choose(rows, all, macs, target)
    }
}
