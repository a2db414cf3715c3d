//! `calibrate.json` as a curve of rules, one per budget.

use std::sync::Arc;

use serde::Deserialize;

use crate::{AnyPolicy, Criterion, OperatingPoint, PolicyError, PolicyFile, Readout, Rule};

/// Accuracy against cost, with a rule for each point: thresholds from cheap to expensive, their mean cost
/// and their accuracy on the rows they were scored on.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleCurve {
    points: Vec<(OperatingPoint, Arc<Rule>)>,
}

/// `calibrate.json`, what `offramp calibrate RUN --json` prints.
#[derive(Deserialize)]
struct Calibration {
    rows: Vec<OperatingPoint>,
    policy: PolicyFile,
}

impl RuleCurve {
    /// A curve of thresholds on `criterion`; logits are read by `readout` first.
    ///
    /// Points are put in the order of their cost.
    ///
    /// # Errors
    /// When thresholds or readout are for another number of exits or classes.
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
    /// without thresholds.
    ///
    /// # Errors
    /// A message: the text is damaged, or of another model.
    pub fn parse(
        text: &str,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<Option<Self>, String> {
        let found: Calibration = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if found.policy.model != model {
            return Err("it belongs to other weights; calibrate again".to_owned());
        }
        let Some(criterion) = found.policy.criterion else {
            return Ok(None);
        };
        let numbers =
            |point: &OperatingPoint| point.mean_macs.is_finite() && point.top1.is_finite();
        if !found.rows.iter().all(numbers) {
            return Err("a cost or an accuracy is no number".to_owned());
        }
        Self::new(
            criterion,
            &found.policy.readout(),
            found.rows,
            exits,
            classes,
        )
        .map(Some)
        .map_err(|error| error.to_string())
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
        let curve = RuleCurve::parse(&text, "ab", 2, 2).unwrap().unwrap();
        assert_eq!(curve.points().len(), 1);
        let error = |model, exits| RuleCurve::parse(&text, model, exits, 2).unwrap_err();
        assert!(error("ba", 2).contains("other weights"));
        assert!(error("ab", 3).contains('3'), "{}", error("ab", 3));
        assert!(RuleCurve::parse("{", "ab", 2, 2).is_err());
    }
}
