//! Saving a session as a checkpoint, and restoring it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use offramp_core::params::{self, NamedTensors};
use offramp_methods::Method;

use super::learner::Learner;
use super::session::{Session, State};
use crate::TrainError;
use crate::checkpoint::{Checkpoint, CheckpointError, FORMAT, Position};
use crate::ema::Ema;
use crate::optim::{Optimizer, Slot};

impl Session<'_> {
    /// Writes a checkpoint, unless the last update made a weight non-finite: such weights must not become
    /// the last good checkpoint.
    pub(super) fn checkpoint(&mut self) -> Result<(), TrainError> {
        let Some(learner) = &self.learner else {
            return Ok(());
        };
        self.metrics.sync()?;
        let state = &self.state;
        let updates = learner.optimizer.slots().iter();
        let position = Position {
            format: FORMAT,
            step: state.step,
            steps_per_epoch: self.schedule.steps_per_epoch,
            best: state.best,
            stale: state.stale,
            stopped: state.stopped,
            metrics_bytes: self.metrics.bytes(),
            seconds: state.seconds,
            window: state.window.clone(),
            epoch: state.epoch.clone(),
            method: learner.objective.method.state(),
            loss_scale: learner.scale,
            updates: updates
                .map(|(name, slot)| (name.clone(), slot.steps))
                .collect(),
            kept: state.kept.clone(),
        };
        let ema = learner
            .ema
            .as_ref()
            .map(|ema| params::collect(&ema.network(&learner.net)));
        let checkpoint = Checkpoint {
            position,
            net: params::collect(&learner.net),
            method: params::collect(&learner.objective),
            ema: ema.unwrap_or_default(),
            optimizer: collect_slots(&learner.optimizer),
        };
        if let Some((name, value)) = not_finite(&checkpoint.net) {
            return Err(TrainError::NotFinite {
                step: state.step,
                epoch: state.step as f64 / self.schedule.steps_per_epoch as f64,
                term: format!("the updated tensor {name:?}"),
                value,
                checkpoint: state.newest.clone(),
            });
        }
        let (path, kept) = self.store.put(&checkpoint)?;
        tracing::info!("checkpoint {}", path.display());
        self.state.kept = kept;
        self.state.newest = Some(path);
        Ok(())
    }

    /// Restores a checkpoint.
    pub(super) fn restore(&mut self, path: PathBuf, found: Checkpoint) -> Result<(), TrainError> {
        let Checkpoint {
            position,
            net,
            method,
            ema,
            optimizer,
        } = found;
        let Some(learner) = self.learner.take() else {
            return Ok(());
        };
        let net = apply(learner.net, net, &path)?;
        let mut objective = apply(learner.objective, method, &path)?;
        objective.method.load_state(&position.method)?;
        let ema = match self.recipe.train.ema.clone() {
            Some(config) => Some(Ema::new(config, &apply(net.valid(), ema, &path)?)),
            None => None,
        };
        let slots = restore_slots(optimizer, &position.updates, &self.device);
        self.learner = Some(Learner {
            net,
            objective,
            teachers: learner.teachers,
            optimizer: learner.optimizer.with_slots(slots),
            ema,
            scale: position.loss_scale.or(learner.scale),
        });
        let kept = self.store.kept(&position);
        self.state = State {
            step: position.step,
            best: position.best,
            stale: position.stale,
            stopped: position.stopped,
            seconds: position.seconds,
            window: position.window,
            epoch: position.epoch,
            kept,
            newest: Some(path),
        };
        Ok(())
    }
}

/// The first tensor with a value that is not finite, and the value.
fn not_finite(tensors: &NamedTensors) -> Option<(&str, f64)> {
    tensors.iter().find_map(|(name, data)| {
        let value = data.iter::<f64>().find(|value| !value.is_finite())?;
        Some((name.as_str(), value))
    })
}

/// Fills a module with the tensors of a checkpoint.
pub(super) fn apply<M: Module>(
    module: M,
    tensors: NamedTensors,
    path: &Path,
) -> Result<M, CheckpointError> {
    params::apply(module, tensors).map_err(|source| CheckpointError::Tensors {
        path: path.to_owned(),
        source,
    })
}

fn collect_slots(optimizer: &Optimizer) -> NamedTensors {
    let slots = optimizer.slots().iter();
    let tensors = slots.flat_map(|(parameter, slot)| {
        let tensors = slot.tensors.iter();
        tensors.map(move |(what, tensor)| (format!("{parameter}/{what}"), tensor.to_data()))
    });
    tensors.collect()
}

fn restore_slots(
    tensors: NamedTensors,
    updates: &BTreeMap<String, u64>,
    device: &Device,
) -> BTreeMap<String, Slot> {
    let inner = device.clone().inner();
    let mut slots: BTreeMap<String, Slot> = BTreeMap::new();
    for (parameter, steps) in updates {
        slots.entry(parameter.clone()).or_default().steps = *steps;
    }
    for (name, data) in tensors {
        if let Some((parameter, what)) = name.rsplit_once('/') {
            let tensor = Tensor::from_data(data, &inner);
            let slot = slots.entry(parameter.to_owned()).or_default();
            slot.tensors.insert(what.to_owned(), tensor);
        }
    }
    slots
}
