//! `rows.json`: what every exit answered for every test image.

use std::path::Path;

use offramp_policies::{AnyPolicy, ExitTable, PolicyError, ScoreRows, exits_taken};
use serde::{Deserialize, Serialize};

use crate::check::share;
use crate::document::{Document, DocumentError, Fault, compact, faulty, same_model};

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

    /// Refuses the answers of another network than the one with checksum `model` and `classes` classes.
    ///
    /// # Errors
    /// [`DocumentError`] that names the file `path`.
    pub fn check_network(
        &self,
        path: &Path,
        model: &str,
        classes: usize,
    ) -> Result<(), DocumentError> {
        same_model::<Self>(path, &self.model, model)?;
        let place = |list: &[usize]| list.iter().position(|&class| class >= classes);
        let labels = place(&self.labels).map(|at| (format!("labels[{at}]"), self.labels[at]));
        let mut exits = self.exits.iter().enumerate().filter_map(|(exit, answers)| {
            let at = place(&answers.prediction)?;
            let key = format!("exits[{exit}].prediction[{at}]");
            Some((key, answers.prediction[at]))
        });
        match labels.or_else(|| exits.next()) {
            Some((key, class)) => {
                let rule = format!("there is no class {class}, the model has {classes}");
                Err(faulty::<Self>(path, Fault::new(key, class, rule)))
            }
            None => Ok(()),
        }
    }

    /// Confidence and correctness of every sample at an exit.
    pub fn samples(&self, exit: usize) -> impl Iterator<Item = (f64, bool)> {
        let answers = &self.exits[exit];
        let right = answers
            .prediction
            .iter()
            .zip(&self.labels)
            .map(|(p, label)| p == label);
        answers.confidence.iter().copied().zip(right)
    }
}

impl Document for Rows {
    const FILE: &'static str = "rows.json";
    const NAME: &'static str = "list of answers";
    const FORMAT: u32 = 1;
    const REMEDY: &'static str = "run `offramp report --measure` again";

    fn check(&self) -> Result<(), Fault> {
        if !["val", "test"].contains(&self.split.as_str()) {
            let split = format!("{:?}", self.split);
            return Err(Fault::new("split", split, "it is val or test"));
        }
        let samples = self.labels.len();
        let length = |key: String, length: usize| {
            if length == samples {
                return Ok(());
            }
            let found = format!("a list of {length} values");
            Err(Fault::new(
                key,
                found,
                format!("there are {samples} labels"),
            ))
        };
        for (exit, answers) in self.exits.iter().enumerate() {
            let key = |name: &str| format!("exits[{exit}].{name}");
            length(key("prediction"), answers.prediction.len())?;
            length(key("confidence"), answers.confidence.len())?;
            for (at, &confidence) in answers.confidence.iter().enumerate() {
                share(format!("{}[{at}]", key("confidence")), confidence)?;
            }
        }
        let Some(taken) = &self.taken else {
            return Ok(());
        };
        length("taken".to_owned(), taken.len())?;
        let exits = self.exits.len();
        match taken.iter().position(|&exit| exit >= exits) {
            Some(at) => {
                let rule = format!("there is no exit {}, the file has {exits}", taken[at]);
                Err(Fault::new(format!("taken[{at}]"), taken[at], rule))
            }
            None => Ok(()),
        }
    }

    fn to_text(&self) -> Result<String, DocumentError> {
        compact(self)
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
        rows.check().unwrap();
        rows.check_network("x".as_ref(), "abc", 2).unwrap();
    }

    #[test]
    fn contradictions_are_named() {
        let fault = |change: fn(&mut Rows)| {
            let mut rows = rows();
            change(&mut rows);
            let text = rows.to_text().unwrap();
            let path = Path::new("run/rows.json");
            let read = Rows::parse(&text, path);
            let error = read.and_then(|rows| rows.check_network(path, "abc", 2));
            error.unwrap_err().to_string()
        };
        assert!(fault(|r| r.model = "x".into()).contains("made for model x"));
        assert!(fault(|r| r.exits[1].confidence.truncate(1)).contains("a list of 1 values"));
        assert!(fault(|r| r.labels[0] = 2).contains("no class 2"));
        assert!(fault(|r| r.taken = Some(vec![0, 5])).contains("no exit 5"));
        assert!(fault(|r| r.exits[0].confidence[0] = 1.5).contains("1.5 is no probability"));
    }
}
