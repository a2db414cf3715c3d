//! Which policy goes with a run: the given one, else that of the run, else the deepest exit.

use std::io::ErrorKind;
use std::path::Path;

use offramp_policies::{AnyPolicy, FixedExit, PolicyError, Rule};

use crate::document::{Document, DocumentError, Fault, faulty};
use crate::policy_file::PolicyFile;

/// A policy and where it comes from.
#[derive(Clone, Debug)]
pub struct ChosenPolicy {
    /// The policy, and how the logits of the exits are read before.
    pub rule: Rule,
    /// The file, or what it does.
    pub origin: String,
    /// The file, if there is one.
    pub file: Option<PolicyFile>,
}

impl ChosenPolicy {
    /// Every image leaves at one exit.
    ///
    /// # Errors
    /// [`PolicyError::NoSuchExit`].
    pub fn fixed(exit: usize, exits: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            rule: AnyPolicy::FixedExit(FixedExit::new(exit, exits)?).into(),
            origin: format!("always exit {exit}"),
            file: None,
        })
    }

    /// The rule for all commands: the policy of the file `given`, else `policy.json` in the folder `run`, else
    /// every image goes to the deepest exit. The network has the checksum `model`, `exits` exits and
    /// `classes` classes.
    ///
    /// # Errors
    /// [`DocumentError`] for a file that is damaged, of another network, or given and not there.
    pub fn choose(
        run: &Path,
        given: Option<&Path>,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<Self, DocumentError> {
        let own = run.join(PolicyFile::FILE);
        let path = match given {
            Some(path) => path,
            None if is_there(&own) => &own,
            None => return Self::deepest(exits),
        };
        let file = PolicyFile::read_for(path, model, exits, classes)?;
        Ok(Self::of(file, path))
    }

    /// As [`choose`](Self::choose), for the text of a `policy.json` that was got elsewhere, if there is one.
    ///
    /// # Errors
    /// [`DocumentError`] for a file that is damaged or of another network.
    pub fn choose_text(
        text: Option<&str>,
        model: &str,
        exits: usize,
        classes: usize,
    ) -> Result<Self, DocumentError> {
        let path = Path::new(PolicyFile::FILE);
        match text {
            Some(text) => {
                let file = PolicyFile::parse_for(text, path, model, exits, classes)?;
                Ok(Self::of(file, path))
            }
            None => Self::deepest(exits),
        }
    }

    fn of(file: PolicyFile, path: &Path) -> Self {
        Self {
            rule: Rule::from(&file),
            origin: path.display().to_string(),
            file: Some(file),
        }
    }

    fn deepest(exits: usize) -> Result<Self, DocumentError> {
        Self::fixed(exits.saturating_sub(1), exits.max(1)).map_err(|error| {
            let fault = Fault::new("policy", "none", error.to_string());
            faulty::<PolicyFile>(Path::new(PolicyFile::FILE), fault)
        })
    }
}

/// Whether there is anything of this name. What is there and cannot be read, such as a link to nothing, is an
/// error of reading, and no run without a policy.
fn is_there(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(threshold: f64) -> String {
        format!(
            r#"{{"format_version": 1, "model": "ab", "criterion": "confidence",
            "fitted_on": {{"split": "val", "samples": 3}},
            "policy": {{"kind": "confidence", "thresholds": [{threshold}, 0.0]}},
            "expected": {{"thresholds": [{threshold}, 0.0], "exit_fractions": [0.5, 0.5],
            "mean_macs": 15.0, "top1": 50.0}}}}"#
        )
    }

    #[test]
    fn the_given_one_then_the_runs_then_the_deepest_exit() {
        let run = tempfile::tempdir().unwrap();
        let choose = |given: Option<&Path>| ChosenPolicy::choose(run.path(), given, "ab", 2, 2);
        let found = choose(None).unwrap();
        assert_eq!((found.origin.as_str(), found.file), ("always exit 1", None));
        std::fs::write(run.path().join("policy.json"), text(0.5)).unwrap();
        let found = choose(None).unwrap();
        assert!(found.origin.ends_with("policy.json"), "{}", found.origin);
        let other = run.path().join("other.json");
        std::fs::write(&other, text(0.7)).unwrap();
        let given = choose(Some(&other)).unwrap();
        assert!(given.origin.ends_with("other.json") && given.rule != found.rule);
        std::fs::remove_file(&other).unwrap();
        let error = choose(Some(&other)).unwrap_err().to_string();
        assert!(error.contains("other.json"), "{error}");
        let error = ChosenPolicy::choose(run.path(), None, "ab", 2, 0).map(|found| found.origin);
        assert!(error.is_ok(), "thresholds fit any number of classes");
        assert!(ChosenPolicy::choose(run.path(), None, "ab", 3, 2).is_err());
        assert_eq!(
            ChosenPolicy::choose_text(None, "ab", 2, 2).unwrap().origin,
            "always exit 1"
        );
        assert!(ChosenPolicy::choose_text(Some("{"), "ab", 2, 2).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_policy_that_cannot_be_read_is_an_error() {
        let run = tempfile::tempdir().unwrap();
        let own = run.path().join("policy.json");
        let error = || {
            let found = ChosenPolicy::choose(run.path(), None, "ab", 2, 2);
            found.unwrap_err().to_string()
        };
        std::os::unix::fs::symlink(run.path().join("gone.json"), &own).unwrap();
        assert!(error().contains("policy.json"), "{}", error());
        std::fs::remove_file(&own).unwrap();
        std::os::unix::fs::symlink(&own, &own).unwrap();
        assert!(error().contains("policy.json"), "{}", error());
    }
}
