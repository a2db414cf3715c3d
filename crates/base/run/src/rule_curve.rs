//! What budgets buy, with the rule for each.

use std::path::Path;
use std::sync::Arc;

use offramp_policies::{AnyPolicy, Criterion, OperatingPoint, PolicyError, Readout, Rule};

use crate::calibration::Calibration;
use crate::document::{Document, DocumentError, Fault, faulty};

/// What budgets buy, with the rule for each: thresholds from cheap to expensive, what they cost and how often
/// they are right on the rows they were scored on.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleCurve {
    points: Vec<(OperatingPoint, Arc<Rule>)>,
}

impl RuleCurve {
    /// A curve of thresholds on `criterion`; logits are read by `readout` first.
    ///
    /// Points are put in the order of their cost.
    ///
    /// # Errors
    /// When thresholds or readout are for another network than one of `exits` exits and `classes` classes.
    pub fn new(
        criterion: Criterion,
        readout: &Readout,
        mut points: Vec<OperatingPoint>,
        exits: usize,
        classes: usize,
    ) -> Result<Self, PolicyError> {
        points.sort_by(|a, b| a.mean_macs.total_cmp(&b.mean_macs));
        let points = points.into_iter().map(|point| {
            let rule = Rule {
                policy: AnyPolicy::with_thresholds(criterion, point.thresholds.clone())?,
                readout: readout.clone(),
            };
            rule.check(exits, classes)?;
            Ok((point, Arc::new(rule)))
        });
        let points = points.collect::<Result<_, _>>()?;
        Ok(Self { points })
    }

    /// The curve in the text of a `calibrate.json` of the model with checksum `model`; none for a policy
    /// without thresholds. `path` is the name of the file in messages.
    ///
    /// # Errors
    /// The text is damaged, or of another model.
    pub fn parse(
        text: &str,
        path: &Path,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<Option<Self>, DocumentError> {
        let found = Calibration::parse(text, path)?;
        found.policy.check_network(path, model, exits, classes)?;
        let Some(criterion) = found.policy.criterion else {
            return Ok(None);
        };
        let readout = found.policy.readout();
        Self::new(criterion, &readout, found.rows, exits, classes)
            .map(Some)
            .map_err(|error| {
                let fault = Fault::new("rows", "of another network", error.to_string());
                faulty::<Calibration>(path, fault)
            })
    }

    /// The points, cheapest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &OperatingPoint> {
        self.points.iter().map(|(point, _)| point)
    }

    /// The most expensive point whose mean cost is at most `macs`, and its rule.
    ///
    /// Chosen by cost alone: choosing by accuracy would make the rows scored on rows to fit on.
    pub fn within(&self, macs: f64) -> Option<&(OperatingPoint, Arc<Rule>)> {
        let fits = |(point, _): &(OperatingPoint, Arc<Rule>)| point.mean_macs <= macs;
        self.points[..self.points.partition_point(fits)].last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(threshold: f64, mean_macs: f64) -> OperatingPoint {
        OperatingPoint {
            thresholds: vec![threshold, 0.0],
            exit_fractions: vec![0.5, 0.5],
            mean_macs,
            top1: 50.0,
        }
    }

    #[test]
    fn a_budget_gets_the_most_expensive_point_that_fits() {
        let points = vec![point(0.9, 40.0), point(0.2, 20.0), point(0.5, 30.0)];
        let readout = Readout::default();
        let curve = RuleCurve::new(Criterion::Confidence, &readout, points, 2, 2).unwrap();
        let within = |macs: f64| curve.within(macs).map(|(point, _)| point.thresholds[0]);
        assert_eq!(within(19.9), None);
        assert_eq!(within(20.0), Some(0.2));
        assert_eq!(within(39.9), Some(0.5));
        assert_eq!(within(f64::INFINITY), Some(0.9));
    }

    #[test]
    fn thresholds_of_another_network_are_refused() {
        let points = vec![point(0.9, 40.0)];
        let readout = Readout::default();
        assert!(RuleCurve::new(Criterion::Margin, &readout, points, 3, 2).is_err());
    }

    #[test]
    fn what_calibrate_prints_is_read_and_other_models_are_refused() {
        let rows = serde_json::to_string(&[point(0.9, 40.0)]).unwrap();
        let text = format!(
            r#"{{"fitted_on": "val", "scored_on": "test", "rows": {rows}, "policy": {{
                "format_version": 1, "model": "ab", "criterion": "confidence",
                "fitted_on": {{"split": "val", "samples": 3}},
                "policy": {{"kind": "confidence", "thresholds": [0.9, 0.0]}},
                "expected": {}}}}}"#,
            serde_json::to_string(&point(0.9, 40.0)).unwrap()
        );
        let path = Path::new("run/calibrate.json");
        let curve = RuleCurve::parse(&text, path, "ab", 2, 2).unwrap().unwrap();
        assert_eq!(curve.points().len(), 1);
        let error = |model, exits| {
            let curve = RuleCurve::parse(&text, path, model, exits, 2);
            curve.unwrap_err().to_string()
        };
        assert!(error("ba", 2).contains("other weights"));
        assert!(error("ab", 3).contains('3'), "{}", error("ab", 3));
        assert!(RuleCurve::parse("{", path, "ab", 2, 2).is_err());
    }
}
