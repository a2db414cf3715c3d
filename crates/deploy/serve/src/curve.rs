//! Accuracy against cost, as `offramp calibrate` and `offramp eval` wrote it.

use std::path::Path;

use offramp_policies::RuleCurve;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Facts of a run folder beyond the model card.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// `calibrate.json`: what `offramp calibrate RUN --json` printed.
    pub curve: Option<RuleCurve>,
    /// `eval.json`: top-1 accuracy of each exit on the test rows, percent.
    pub top1: Option<Vec<f64>>,
    /// What is there and was left out, and why.
    pub notes: Vec<String>,
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
        let curve = read(&path).and_then(|text| {
            let curve = text.map(|text| RuleCurve::parse(&text, sha256, macs.len(), classes));
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

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let found = read(path)?.map(|text| serde_json::from_str(&text));
    found.transpose().map_err(|error| error.to_string())
}

/// `None` when the file is not there.
fn read(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(|error| error.to_string()),
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
        let scores = r#"{"exits": [{"top1": 60.5, "macs": 1}, {"top1": 70.0, "macs": 2}]}"#;
        std::fs::write(dir.path().join("eval.json"), scores).unwrap();
        let facts = RunFacts::read(dir.path(), "ab", &[1, 2], 2);
        assert!(facts.notes.len() == 1 && facts.notes[0].contains("calibrate.json"));
        assert_eq!(facts.top1, Some(vec![60.5, 70.0]));
        let facts = RunFacts::read(dir.path(), "ab", &[1, 3], 2);
        assert_eq!((facts.top1, facts.notes.len()), (None, 2));
    }
}
