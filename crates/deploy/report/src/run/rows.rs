//! `rows.json`: the answer of every exit to every test image.

use offramp_policies::{AnyPolicy, ExitTable, PolicyError, ScoreRows, exits_taken};
use serde::{Deserialize, Serialize};

/// The answers of every exit over some rows, as `offramp report --measure` writes them into a run.
///
/// Reliability diagrams and shares by class need single images, which `eval.json` does not hold.
/// About 12 bytes per image and exit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Which rows: `val` or `test`.
    pub split: String,
    /// Checksum of the weights.
    pub model: String,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// Every exit, shallowest first.
    pub exits: Vec<Answers>,
    /// The exit that each image takes under the run's policy; absent without a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Vec<usize>>,
}

/// The answers of one exit, in the order of the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The most probable class.
    pub prediction: Vec<usize>,
    /// Its probability, 0 to 1, rounded to six digits.
    pub confidence: Vec<f64>,
}

impl Rows {
    /// The answers in `rows` of the model with checksum `model`, and where `policy` stops.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] or [`PolicyError::Classes`] for the policy of another network.
    pub fn new(
        rows: &ScoreRows,
        model: &str,
        policy: Option<&AnyPolicy>,
    ) -> Result<Self, PolicyError> {
        let table = rows.table();
        let taken = policy.map(|policy| exits_taken(policy, table));
        Ok(Self {
            split: rows.split().to_string(),
            model: model.to_owned(),
            labels: table.labels().to_vec(),
            exits: (0..table.exits())
                .map(|exit| answers(table, exit))
                .collect(),
            taken: taken.transpose()?,
        })
    }

    /// Why the file does not belong to the run or contradicts itself.
    pub(crate) fn fault(&self, sha256: &str, classes: usize) -> Option<String> {
        let samples = self.labels.len();
        let exits = self.exits.len();
        if self.model != sha256 {
            return Some(format!(
                "it was made for model {:.12}, not for this one",
                self.model
            ));
        }
        let lengths = self
            .exits
            .iter()
            .flat_map(|e| [e.prediction.len(), e.confidence.len()]);
        let lengths = lengths.chain(self.taken.as_ref().map(Vec::len));
        if let Some(length) = lengths.into_iter().find(|&length| length != samples) {
            return Some(format!(
                "it has {samples} labels, but a list of {length} values"
            ));
        }
        let named = self
            .labels
            .iter()
            .chain(self.exits.iter().flat_map(|e| &e.prediction));
        if let Some(class) = named.into_iter().find(|&&class| class >= classes) {
            return Some(format!(
                "there is no class {class}, the model has {classes}"
            ));
        }
        if let Some(exit) = self.taken.iter().flatten().find(|&&exit| exit >= exits) {
            return Some(format!("there is no exit {exit}, the file has {exits}"));
        }
        let mut confidences = self.exits.iter().flat_map(|e| &e.confidence);
        let bad = confidences.find(|c| !(0.0..=1.0).contains(*c));
        bad.map(|confidence| format!("{confidence} is no probability"))
    }

    /// (confidence, correct) of every image at an exit.
    pub(crate) fn samples(&self, exit: usize) -> impl Iterator<Item = (f64, bool)> {
        let answers = &self.exits[exit];
        let right = answers
            .prediction
            .iter()
            .zip(&self.labels)
            .map(|(p, label)| p == label);
        answers.confidence.iter().copied().zip(right)
    }
}

fn answers(table: &ExitTable, exit: usize) -> Answers {
    let evidence = (0..table.samples()).map(|sample| table.evidence(sample, exit));
    // Digits beyond these would triple the file and move no sample a visible distance.
    let round = |confidence: f32| (f64::from(confidence) * 1e6).round() / 1e6;
    Answers {
        prediction: evidence.clone().map(|e| e.prediction).collect(),
        confidence: evidence.map(|e| round(e.confidence)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_policies::{Criterion, ScoreSplit};

    fn rows() -> Rows {
        let shallow = vec![4.0, 0.0, 0.1, 0.0];
        let deep = vec![4.0, 0.0, 0.0, 3.0];
        let table = ExitTable::new(vec![shallow, deep], 2, vec![0, 1]).unwrap();
        let policy = AnyPolicy::with_thresholds(Criterion::Confidence, vec![0.9, 0.0]).unwrap();
        Rows::new(
            &ScoreRows::new(ScoreSplit::Test, table),
            "abc",
            Some(&policy),
        )
        .unwrap()
    }

    #[test]
    fn rows_of_a_table() {
        let rows = rows();
        assert_eq!(rows.taken.as_deref(), Some(&[0, 1][..]));
        // 1 / (1 + exp(-4)) and 1 / (1 + exp(-0.1))
        assert_eq!(rows.exits[0].confidence, [0.982014, 0.524979]);
        assert_eq!(
            rows.samples(0).map(|s| s.1).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(rows.fault("abc", 2), None);
    }

    #[test]
    fn contradictions_are_named() {
        let fault = |change: fn(&mut Rows)| {
            let mut rows = rows();
            change(&mut rows);
            rows.fault("abc", 2).unwrap()
        };
        assert!(fault(|r| r.model = "x".into()).contains("made for model x"));
        assert!(fault(|r| r.exits[1].confidence.truncate(1)).contains("a list of 1 values"));
        assert!(fault(|r| r.labels[0] = 2).contains("no class 2"));
        assert!(fault(|r| r.taken = Some(vec![0, 5])).contains("no exit 5"));
        assert!(fault(|r| r.exits[0].confidence[0] = 1.5).contains("1.5 is no probability"));
    }
}
