//! The policy that goes with a run.

use std::path::{Path, PathBuf};

use offramp_heads::ModelCard;
use offramp_policies::{AnyPolicy, FixedExit, PolicyFile, Rule};

use crate::error::CliError;

/// A policy and where it comes from.
pub struct Chosen {
    /// The policy, and how the logits of the exits are read before.
    pub rule: Rule,
    /// The file, or what it does.
    pub origin: String,
}

impl Chosen {
    /// Every image leaves at one exit.
    pub fn fixed(exit: usize, exits: usize) -> Result<Self, CliError> {
        Ok(Self {
            rule: AnyPolicy::FixedExit(FixedExit::new(exit, exits)?).into(),
            origin: format!("always exit {exit}"),
        })
    }
}

/// The policy of the file asked for, else the run's, else the deepest exit, with advice on stderr.
pub fn choose(
    run: &Path,
    asked: Option<&Path>,
    card: &ModelCard,
    exits: usize,
) -> Result<Chosen, CliError> {
    let default: PathBuf = run.join("policy.json");
    let path = match asked {
        Some(path) => path.to_owned(),
        None if default.exists() => default,
        None => {
            if exits > 1 {
                eprintln!(
                    "note: {} has no policy.json, every image goes to the deepest exit; \
                     `offramp calibrate {}` makes one",
                    run.display(),
                    run.display()
                );
            }
            return Chosen::fixed(exits - 1, exits);
        }
    };
    let file = PolicyFile::read(&path, &card.sha256, exits)?;
    file.check_classes(&path, card.classes.len())?;
    Ok(Chosen {
        rule: Rule::from(&file),
        origin: path.display().to_string(),
    })
}
