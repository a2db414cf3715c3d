//! The trait of every method.

use std::collections::BTreeMap;

use offramp_core::ExitOutputs;
use offramp_heads::MultiExitNet;
use offramp_losses::Targets;

use crate::{LookAhead, LossTerms, MethodError};

/// What a method must know of a network before training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInfo {
    /// Number of exits.
    pub exits: usize,
    /// Number of classes.
    pub classes: usize,
    /// Width of every exit's embedding, shallowest first.
    pub embedding_dims: Vec<usize>,
    /// The stage that every exit is attached to, shallowest first.
    pub exit_stages: Vec<usize>,
    /// Channels of the map after every stage.
    pub stage_channels: Vec<usize>,
}

impl From<&MultiExitNet> for NetworkInfo {
    fn from(net: &MultiExitNet) -> Self {
        Self {
            exits: net.num_exits(),
            classes: net.classes(),
            embedding_dims: net.embedding_dims(),
            exit_stages: net.exit_stages().to_vec(),
            stage_channels: net.stage_channels(),
        }
    }
}

/// The position of a step in the training; the default is before the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepContext {
    /// Epochs done so far, including the fraction of the current one.
    pub epoch: f64,
    /// Epochs of the whole training.
    pub epochs: f64,
    /// Steps done so far.
    pub step: u64,
    /// The seed of the run. Random numbers of a step are a function of seed and step, so that a
    /// resumed run draws the same.
    pub seed: u64,
}

/// Turns the outputs of a batch into loss terms.
pub trait Method {
    /// The terms of a batch; [`LossTerms::total`] is minimised.
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms;

    /// Whether [`look_ahead`](Self::look_ahead) is to be called before this step.
    fn looks_ahead(&self, _context: &StepContext) -> bool {
        false
    }

    /// Called before the step, when [`looks_ahead`](Self::looks_ahead) says so: the method may try
    /// steps on copies of the network and change its own parameters.
    fn look_ahead(&mut self, _look_ahead: &LookAhead) {}

    /// Called after the optimiser's step, with the outputs that the losses were computed from. Where a
    /// batch was computed in parts, they are those of the whole batch; an exit's map is its embedding
    /// then, and there are no stages unless [`looks_back_at_stages`](Self::looks_back_at_stages).
    fn after_step(&mut self, _outputs: &ExitOutputs) {}

    /// Whether [`after_step`](Self::after_step) uses the maps after stages.
    fn looks_back_at_stages(&self) -> bool {
        false
    }

    /// Values to log beside the losses: `teacher/R/K`, the weight of exit `K` in teacher `R`, and
    /// other quantities that the method adapts. May read from the device.
    fn scalars(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// State that changes during training and is not a tensor of the module, for exact resume.
    fn state(&self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// Restores what [`state`](Self::state) returned.
    ///
    /// # Errors
    /// [`MethodError::UnknownState`] or [`MethodError::MissingState`] when the entries are not
    /// exactly those of this method; it stays unchanged then.
    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<(), MethodError> {
        match state.keys().next() {
            None => Ok(()),
            Some(key) => Err(MethodError::UnknownState { key: key.clone() }),
        }
    }
}

/// Names for the weights of teachers, as [`Method::scalars`] logs them.
pub(crate) fn teacher_scalars(weights: &[Vec<f32>]) -> Vec<(String, f64)> {
    let row = |(teacher, row): (usize, &Vec<f32>)| {
        let entry = |(exit, weight): (usize, &f32)| {
            (format!("teacher/{teacher}/{exit}"), f64::from(*weight))
        };
        row.iter().enumerate().map(entry).collect::<Vec<_>>()
    };
    weights.iter().enumerate().flat_map(row).collect()
}
