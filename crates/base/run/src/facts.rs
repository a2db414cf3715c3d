//! What a run folder says of a network beyond its card.

use std::io;
use std::path::Path;

use crate::calibration::Calibration;
use crate::document::Document;
use crate::eval::EvalReport;
use crate::rule_curve::RuleCurve;

/// What a run folder says of a network beyond its card. What is missing stays away; what is damaged or of
/// another model is noted.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// `calibrate.json`: what `offramp calibrate RUN --json` printed.
    pub curve: Option<RuleCurve>,
    /// `eval.json`: top-1 accuracy of each exit, percent; NaN for one that was not finite.
    pub top1: Option<Vec<f64>>,
    /// What is there and was left out, and why.
    pub notes: Vec<String>,
}

impl RunFacts {
    /// Reads the folder of the model with checksum `sha256`, `macs[k]` as the cost of exit `k`, and
    /// `classes` classes.
    pub fn read(dir: &Path, sha256: &str, macs: &[u64], classes: usize) -> Self {
        let mut notes = Vec::new();
        let mut text = |file: &str| {
            let path = dir.join(file);
            match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    notes.push(format!("{}: {error}", path.display()));
                    None
                }
                Ok(text) => Some(text),
            }
        };
        let (curve, scores) = (text(Calibration::FILE), text(EvalReport::FILE));
        let mut facts = Self::parse(
            dir,
            curve.as_deref(),
            scores.as_deref(),
            sha256,
            macs,
            classes,
        );
        facts.notes.splice(0..0, notes);
        facts
    }

    /// As [`read`](Self::read), of the texts of `calibrate.json` and `eval.json` that were got elsewhere;
    /// `dir` is where messages say that they lie.
    pub fn parse(
        dir: &Path,
        calibrate: Option<&str>,
        eval: Option<&str>,
        sha256: &str,
        macs: &[u64],
        classes: usize,
    ) -> Self {
        let mut facts = Self::default();
        if let Some(text) = calibrate {
            let path = dir.join(Calibration::FILE);
            match RuleCurve::parse(text, &path, sha256, macs.len(), classes) {
                Ok(curve) => facts.curve = curve,
                Err(error) => facts.notes.push(error.to_string()),
            }
        }
        if let Some(text) = eval {
            let path = dir.join(EvalReport::FILE);
            match EvalReport::parse(text, &path) {
                // The file does not name the weights; costs tell most networks apart.
                Ok(found) if found.macs().ne(macs.iter().copied()) => {
                    let note = format!("{}: its exits cost something else", path.display());
                    facts.notes.push(note);
                }
                Ok(found) => facts.top1 = Some(found.top1()),
                Err(error) => facts.notes.push(error.to_string()),
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_noted_and_missing_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let facts = RunFacts::read(dir.path(), "ab", &[1, 2], 2);
        assert!(facts.notes.is_empty() && facts.curve.is_none() && facts.top1.is_none());
        std::fs::write(dir.path().join("calibrate.json"), "{").unwrap();
        let exit = |exit: usize, top1: f64| {
            serde_json::json!({
                "exit": exit, "top1": top1, "top5": 100.0, "nll": 1.0, "ece": 2.0, "macs": exit + 1,
                "params": 1
            })
        };
        let scores = serde_json::json!({
            "split": "test", "samples": 4, "exits": [exit(0, 60.5), exit(1, 70.0)],
            "ensemble": {"top1": 60.0}
        });
        std::fs::write(dir.path().join("eval.json"), scores.to_string()).unwrap();
        let facts = RunFacts::read(dir.path(), "ab", &[1, 2], 2);
        assert!(facts.notes.len() == 1 && facts.notes[0].contains("calibrate.json"));
        assert_eq!(facts.top1, Some(vec![60.5, 70.0]));
        let facts = RunFacts::read(dir.path(), "ab", &[1, 3], 2);
        assert_eq!((facts.top1, facts.notes.len()), (None, 2));
    }
}
