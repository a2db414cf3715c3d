//! `metrics.jsonl`; an interrupted run leaves half a line, which is skipped.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::documents::Scores;

/// Values by name; `null` stands for a number that was not finite.
pub(crate) type Values = BTreeMap<String, Option<f64>>;

/// What could be read of the file.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) steps: Vec<TrainPoint>,
    pub(crate) epochs: Vec<TrainPoint>,
    pub(crate) evals: Vec<EvalPoint>,
    pub(crate) last: Option<Final>,
}

/// The mean of some steps of training.
#[derive(Debug, Deserialize)]
pub(crate) struct TrainPoint {
    pub(crate) epoch: f64,
    pub(crate) loss: Option<f64>,
    #[serde(default)]
    pub(crate) terms: Values,
    #[serde(default)]
    pub(crate) train_top1: Vec<Option<f64>>,
    #[serde(default)]
    pub(crate) scalars: Values,
}

/// A validation.
#[derive(Debug, Deserialize)]
pub(crate) struct EvalPoint {
    pub(crate) epoch: f64,
    #[serde(flatten)]
    pub(crate) scores: Scores,
}

/// The end of the run.
#[derive(Debug, Deserialize)]
pub(crate) struct Final {
    pub(crate) step: u64,
    pub(crate) model_step: u64,
    #[serde(default)]
    pub(crate) stopped_early: bool,
    pub(crate) test: Option<Scores>,
    pub(crate) seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Step(TrainPoint),
    Epoch(TrainPoint),
    Eval(EvalPoint),
    Final(Final),
}

impl Metrics {
    /// Reads all lines that can be read; `notes` lists those that cannot.
    pub(crate) fn parse(bytes: &[u8], notes: &mut Vec<String>) -> Self {
        let mut metrics = Self::default();
        let mut gaps = 0;
        let mut damaged: Vec<(usize, String)> = Vec::new();
        for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(line) => gaps += metrics.push(line),
                Err(error) => damaged.push((number + 1, error.to_string())),
            }
        }
        if let Some((number, error)) = damaged.first() {
            let others = match damaged.len() {
                1 => String::new(),
                n => format!(" and {} more lines", n - 1),
            };
            notes.push(format!(
                "metrics.jsonl: line {number}{others} cannot be read and was left out ({error})"
            ));
        }
        if gaps > 0 {
            notes.push(format!(
                "metrics.jsonl: {gaps} values are not finite (NaN or infinite); curves have gaps there"
            ));
        }
        metrics
    }

    /// Adds a line and counts its values that are not finite.
    fn push(&mut self, line: Line) -> usize {
        match line {
            Line::Step(point) => {
                let gaps = point.gaps();
                self.steps.push(point);
                gaps
            }
            Line::Epoch(point) => {
                let gaps = point.gaps();
                self.epochs.push(point);
                gaps
            }
            Line::Eval(point) => {
                self.evals.push(point);
                0
            }
            Line::Final(end) => {
                self.last = Some(end);
                0
            }
        }
    }

    /// The points of the training curves: epochs, or steps where there are hardly any epochs.
    pub(crate) fn training(&self) -> &[TrainPoint] {
        match self.epochs.len() {
            0 | 1 if self.steps.len() > 1 => &self.steps,
            _ => &self.epochs,
        }
    }

    /// Whether there is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.epochs.is_empty() && self.evals.is_empty()
    }
}

impl TrainPoint {
    fn gaps(&self) -> usize {
        let maps = self.terms.values().chain(self.scalars.values());
        let values = maps.chain(&self.train_top1).chain([&self.loss]);
        values.filter(|value| value.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_and_numbers_that_are_none_are_noted() {
        let text = concat!(
            r#"{"kind":"epoch","epoch":1.0,"loss":2.5,"terms":{"ce/0":null},"train_top1":[3.0,null]}"#,
            "\n\n",
            r#"{"kind":"step","epoch":1.5,"loss":NaN}"#,
            "\n",
            r#"{"kind":"epoch","epoch":2.0,"lo"#,
        );
        let mut notes = Vec::new();
        let metrics = Metrics::parse(text.as_bytes(), &mut notes);
        assert_eq!(metrics.epochs.len(), 1);
        assert!(
            notes[0].contains("line 3 and 1 more lines cannot be read"),
            "{notes:?}"
        );
        assert!(notes[1].contains("2 values are not finite"), "{notes:?}");
    }

    #[test]
    fn bytes_that_are_no_text_are_no_panic() {
        let mut notes = Vec::new();
        let metrics = Metrics::parse(&[0xff, 0xfe, b'\n', 0, 1], &mut notes);
        assert!(metrics.is_empty() && metrics.last.is_none());
        assert_eq!(notes.len(), 1);
    }
}
