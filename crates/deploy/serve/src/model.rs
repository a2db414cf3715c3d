//! A network with its description.

use std::sync::Arc;

use offramp_policies::Rule;
use offramp_run::{ImageInput, rules_at_exits};

use crate::{Engine, LoadError, RunFacts};

/// A network, ready to answer.
pub struct Model {
    /// What computes.
    pub engine: Box<dyn Engine>,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// The data set that it was trained on.
    pub dataset: String,
    /// How an image becomes an input.
    pub input: ImageInput,
    /// What it costs to answer at each exit, MACs, shallowest first.
    pub macs: Vec<u64>,
    /// When images stop, unless a request chooses.
    pub rule: Rule,
    /// A description of where the rule comes from.
    pub origin: String,
    /// Checksum of the weights.
    pub sha256: String,
    /// Commit of the program that trained it, where known.
    pub commit: Option<String>,
    /// What a budget buys.
    pub facts: RunFacts,
}

/// Where a model comes from: loaded at the start, and again when the service reloads.
pub trait Source: Send + Sync {
    /// What requests call it.
    fn name(&self) -> &str;

    /// Loads it.
    ///
    /// # Errors
    /// Whatever keeps it from being loaded; a service that has loaded it before goes on with that.
    fn load(&self) -> Result<Model, LoadError>;
}

/// A model without its engine.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) classes: Vec<String>,
    pub(crate) dataset: String,
    pub(crate) input: ImageInput,
    pub(crate) macs: Vec<u64>,
    pub(crate) rule: Arc<Rule>,
    pub(crate) origin: String,
    pub(crate) sha256: String,
    pub(crate) commit: Option<String>,
    pub(crate) facts: RunFacts,
    /// For each exit the rule to leave there, logits read as the model's own rule reads them.
    pub(crate) at_exit: Vec<Arc<Rule>>,
    /// For each exit the time of one image alone, ms, that 19 of 20 keep.
    pub(crate) exit_ms: Vec<f64>,
}

impl Card {
    /// Takes a model apart; its times are measured later.
    pub(crate) fn new(name: &str, model: Model) -> Result<(Self, Box<dyn Engine>), LoadError> {
        let exits = model.macs.len();
        model.rule.check(exits, model.classes.len())?;
        if exits == 0 || model.classes.is_empty() {
            return Err("a model has exits and classes".into());
        }
        let at_exit = rules_at_exits(exits, &model.rule.readout)?;
        let card = Self {
            name: name.to_owned(),
            classes: model.classes,
            dataset: model.dataset,
            input: model.input,
            macs: model.macs,
            rule: Arc::new(model.rule),
            origin: model.origin,
            sha256: model.sha256,
            commit: model.commit,
            facts: model.facts,
            at_exit,
            exit_ms: Vec::new(),
        };
        Ok((card, model.engine))
    }

    pub(crate) fn exits(&self) -> usize {
        self.macs.len()
    }
}
