//! The policy that goes with a run.

use std::path::Path;

use offramp_heads::ModelCard;
use offramp_run::ChosenPolicy;

use crate::error::CliError;

/// The policy of the file asked for, else the run's, else the deepest exit, with advice on stderr.
pub(crate) fn choose(
    run: &Path,
    asked: Option<&Path>,
    card: &ModelCard,
    exits: usize,
) -> Result<ChosenPolicy, CliError> {
    let chosen = ChosenPolicy::choose(run, asked, &card.sha256, exits, card.classes.len())?;
    if chosen.file.is_none() && exits > 1 {
        eprintln!(
            "note: {} has no policy.json, every image goes to the deepest exit; \
             `offramp calibrate {}` makes one",
            run.display(),
            run.display()
        );
    }
    Ok(chosen)
}
