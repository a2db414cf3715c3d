//! Models from plan files, which need neither run folder nor burn.

use std::path::{Path, PathBuf};

use offramp_executor::{MultiExitPlan, Stream};
use offramp_run::ChosenPolicy;

use crate::{LoadError, Model, RunFacts, Source};

/// A plan that `offramp export --format plan` wrote.
///
/// `policy.json`, `calibrate.json` and `eval.json` are read where they lie beside it; without a policy
/// every image goes to the deepest exit.
#[derive(Clone, Debug)]
pub struct PlanFile {
    /// What requests call it.
    pub name: String,
    /// The plan.
    pub path: PathBuf,
    /// A policy in place of the one beside the plan.
    pub policy: Option<PathBuf>,
    /// Images computed together at most.
    pub batch: usize,
    /// Threads; those the plan was made for where `None`.
    pub threads: Option<usize>,
}

impl Source for PlanFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> Result<Model, LoadError> {
        let mut plan = MultiExitPlan::load(&self.path)?.with_batch(self.batch);
        if let Some(threads) = self.threads {
            plan = plan.with_threads(threads);
        }
        let about = plan.about().cloned().ok_or_else(|| {
            let path = self.path.display();
            format!(
                "{path}: the plan does not say what it was made of; export it from its run again"
            )
        })?;
        let dir = self.path.parent().unwrap_or(Path::new(""));
        let (exits, classes) = (about.macs.len(), about.classes.len());
        let policy = self.policy.as_deref();
        let chosen = ChosenPolicy::choose(dir, policy, &about.model, exits, classes)?;
        Ok(Model {
            engine: Box::new(Stream::new(plan, about.macs.clone())?),
            rule: chosen.rule,
            origin: chosen.origin,
            facts: RunFacts::read(dir, &about.model, &about.macs, classes),
            input: about.input(),
            classes: about.classes,
            dataset: self.name.clone(),
            macs: about.macs,
            sha256: about.model,
            commit: None,
        })
    }
}
