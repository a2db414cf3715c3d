//! Models from plan files, which need neither run folder nor burn.

use std::path::{Path, PathBuf};

use offramp_data::{DatasetInfo, ImageShape};
use offramp_executor::{About, MultiExitPlan, Stream};
use offramp_policies::{AnyPolicy, FixedExit, PolicyFile, Rule};

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
        let (rule, origin) = self.rule(dir, &about)?;
        let macs = about.macs.clone();
        Ok(Model {
            engine: Box::new(Stream::new(plan, macs.clone())?),
            rule,
            origin,
            facts: RunFacts::read(dir, &about.model, &macs, about.classes.len()),
            macs,
            sha256: about.model.clone(),
            commit: None,
            info: info(&self.name, about),
        })
    }
}

impl PlanFile {
    fn rule(&self, dir: &Path, about: &About) -> Result<(Rule, String), LoadError> {
        let exits = about.macs.len();
        let beside = dir.join("policy.json");
        let path = match &self.policy {
            Some(path) => path,
            None if beside.exists() => &beside,
            None => {
                let last = exits.saturating_sub(1);
                let policy = AnyPolicy::FixedExit(FixedExit::new(last, exits)?);
                return Ok((policy.into(), format!("always exit {last}")));
            }
        };
        let file = PolicyFile::read(path, &about.model, exits)?;
        file.check_classes(path, about.classes.len())?;
        Ok((Rule::from(&file), path.display().to_string()))
    }
}

fn info(name: &str, about: About) -> DatasetInfo {
    let [channels, height, width] = about.image;
    let shape = |[height, width]: [usize; 2]| ImageShape {
        channels,
        height,
        width,
    };
    DatasetInfo {
        name: name.to_owned(),
        classes: about.classes,
        shape: shape([height, width]),
        mean: about.mean,
        std: about.std,
        decoded: (about.resize != [height, width]).then(|| shape(about.resize)),
    }
}
