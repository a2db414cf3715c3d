//! What a budget buys, as `offramp calibrate` and `offramp eval` wrote it.

use std::path::Path;
use std::sync::Arc;

use offramp_policies::{
    AnyPolicy, Criterion, OperatingPoint, PolicyError, PolicyFile, Readout, Rule,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Thresholds from cheap to dear, with what they cost and how often they are right on the test rows.
#[derive(Clone, Debug)]
pub struct Curve {
    points: Vec<(OperatingPoint, Arc<Rule>)>,
}

impl Curve {
    /// A curve of thresholds on `criterion`; logits are read by `readout` first.
    ///
    /// Points are put in the order of their cost.
    ///
    /// # Errors
    /// When thresholds or readout are for another network than one of so many exits and classes.
    pub fn new(
        criterion: Criterion,
        readout: Readout,
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

    /// The points, cheapest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &OperatingPoint> {
        self.points.iter().map(|(point, _)| point)
    }

    /// The dearest point whose mean cost is at most `macs`.
    ///
    /// Chosen by cost alone: choosing by accuracy on the test rows would make them rows to fit on.
    pub(crate) fn within(&self, macs: f64) -> Option<&(OperatingPoint, Arc<Rule>)> {
        let fits = |(point, _): &(OperatingPoint, Arc<Rule>)| point.mean_macs <= macs;
        self.points[..self.points.partition_point(fits)].last()
    }
}

/// What a run folder says of a network beyond its card.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// `calibrate.json`: what `offramp calibrate RUN --json` printed.
    pub curve: Option<Curve>,
    /// `eval.json`: top-1 accuracy of each exit on the test rows, percent.
    pub top1: Option<Vec<f64>>,
    /// What is there and was left out, and why.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
struct Calibration {
    rows: Vec<OperatingPoint>,
    policy: PolicyFile,
}

#[derive(Deserialize)]
struct Evaluation {
    exits: Vec<ExitScore>,
}

#[derive(Deserialize)]
struct ExitScore {
    top1: f64,
    macs: u64,
}

impl RunFacts {
    /// Reads the folder of the model with checksum `sha256`, `macs[k]` as the cost of exit `k`, and so
    /// many classes. What is missing stays away; what is damaged or of another model is noted.
    pub fn read(dir: &Path, sha256: &str, macs: &[u64], classes: usize) -> Self {
        let mut facts = Self::default();
        let path = dir.join("calibrate.json");
        let curve = read_json::<Calibration>(&path).and_then(|found| {
            let curve = found.map(|found| found.curve(sha256, macs.len(), classes));
            curve.transpose()
        });
        match curve {
            Ok(curve) => facts.curve = curve.flatten(),
            Err(reason) => facts.notes.push(format!("{}: {reason}", path.display())),
        }
        let path = dir.join("eval.json");
        match read_json::<Evaluation>(&path) {
            // The file does not name the weights; costs tell most networks apart.
            Ok(Some(found))
                if found
                    .exits
                    .iter()
                    .map(|exit| exit.macs)
                    .ne(macs.iter().copied()) =>
            {
                let note = format!("{}: its exits cost something else", path.display());
                facts.notes.push(note);
            }
            Ok(found) => {
                let top1 = |found: Evaluation| found.exits.iter().map(|exit| exit.top1).collect();
                facts.top1 = found.map(top1);
            }
            Err(reason) => facts.notes.push(format!("{}: {reason}", path.display())),
        }
        facts
    }
}

impl Calibration {
    /// No curve for a policy without thresholds.
    fn curve(self, sha256: &str, exits: usize, classes: usize) -> Result<Option<Curve>, String> {
        if self.policy.model != sha256 {
            return Err("it belongs to other weights; calibrate again".to_owned());
        }
        let Some(criterion) = self.policy.criterion else {
            return Ok(None);
        };
        let readout = self.policy.readout();
        let numbers =
            |point: &OperatingPoint| point.mean_macs.is_finite() && point.top1.is_finite();
        if !self.rows.iter().all(numbers) {
            return Err("a cost or an accuracy is no number".to_owned());
        }
        Curve::new(criterion, readout, self.rows, exits, classes)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

/// `None` when the file is not there.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| error.to_string()),
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
    fn a_budget_gets_the_dearest_point_that_fits() {
        let points = vec![point(0.9, 40.0), point(0.2, 20.0), point(0.5, 30.0)];
        let curve = Curve::new(Criterion::Confidence, Readout::default(), points, 2, 2).unwrap();
        let within = |macs: f64| curve.within(macs).map(|(point, _)| point.thresholds[0]);
        assert_eq!(within(19.9), None);
        assert_eq!(within(20.0), Some(0.2));
        assert_eq!(within(39.9), Some(0.5));
        assert_eq!(within(f64::INFINITY), Some(0.9));
    }

    #[test]
    fn thresholds_of_another_network_are_refused() {
        let points = vec![point(0.9, 40.0)];
        assert!(Curve::new(Criterion::Margin, Readout::default(), points, 3, 2).is_err());
    }

    #[test]
    fn damaged_files_are_noted_and_missing_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let facts = RunFacts::read(dir.path(), "ab", &[1, 2], 2);
        assert!(facts.notes.is_empty() && facts.curve.is_none() && facts.top1.is_none());
        std::fs::write(dir.path().join("calibrate.json"), "{").unwrap();
        let scores = r#"{"exits": [{"top1": 60.5, "macs": 1}, {"top1": 70.0, "macs": 2}]}"#;
        std::fs::write(dir.path().join("eval.json"), scores).unwrap();
        let facts = RunFacts::read(dir.path(), "ab", &[1, 2], 2);
        assert!(facts.notes.len() == 1 && facts.notes[0].contains("calibrate.json"));
        assert_eq!(facts.top1, Some(vec![60.5, 70.0]));
        let facts = RunFacts::read(dir.path(), "ab", &[1, 3], 2);
        assert_eq!((facts.top1, facts.notes.len()), (None, 2));
    }
}
