//! Data-parallel training: a batch in parts, each learned by a replica on a device of its own, in a thread
//! of its own (Li et al., *PyTorch Distributed*, VLDB 2020).
//!
//! All replicas have the same parameters and optimiser. Each computes the gradient of its part; the mean of
//! the gradients, weighed by rows, is what all of them step by. The first replica is the run's: it is validated
//! and kept.

use std::{panic, thread};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use offramp_core::DeviceSpec;
use offramp_data::Batch;
use offramp_kernels::Replica;
use offramp_methods::Method;
use offramp_nn::synchronised;

use super::learner::{Learner, Objective, StepSettings};
use super::steps::said;
use crate::TrainError;
use crate::batch::Input;
use crate::metrics::StepValues;

/// The replicas of a run beside the first, and how they reach each other.
#[derive(Debug)]
pub(super) struct Team {
    /// All but the first.
    mates: Vec<Learner>,
    /// Of all.
    devices: Vec<Device>,
    replicas: Vec<Replica>,
    /// Whether batch norm looks at all parts.
    synchronised: bool,
}

/// One replica's part in a step.
#[derive(Clone, Debug)]
pub(super) struct Together {
    replica: Replica,
    /// Its share of the batch's rows.
    share: f64,
    synchronised: bool,
}

impl Team {
    /// Makes a team of the first learner and its copies; `None` for a run of one.
    ///
    /// # Errors
    /// When there are not so many devices, or batch norm cannot be synchronised on them.
    pub fn around(
        first: &Learner,
        spec: DeviceSpec,
        count: usize,
        synchronised: bool,
    ) -> Result<Option<Self>, TrainError> {
        if count <= 1 {
            return Ok(None);
        }
        let devices: Vec<Device> = (spec.neighbours(count)?.into_iter())
            .map(|spec| Ok(spec.device()?))
            .collect::<Result<_, TrainError>>()?;
        if synchronised && !Replica::differentiable(&devices[0]) {
            return Err(TrainError::NotSynchronised { device: spec });
        }
        Ok(Some(Self {
            mates: devices[1..].iter().map(|device| first.on(device)).collect(),
            replicas: Replica::group(&devices),
            devices,
            synchronised,
        }))
    }

    /// One step of all; `input` moves a part of the batch to a device.
    ///
    /// # Errors
    /// What the first replica that failed says.
    pub fn step(
        &mut self,
        first: Learner,
        batch: &Batch,
        input: impl Fn(Batch, &Device) -> Input + Sync,
        settings: StepSettings,
    ) -> Result<(Learner, StepValues), TrainError> {
        let (rows, parts) = (batch.len(), batch.split(self.devices.len()));
        if parts.len() < self.devices.len() {
            return Err(TrainError::FewerRowsThanReplicas {
                rows,
                replicas: self.devices.len(),
            });
        }
        let shares: Vec<f64> = (parts.iter())
            .map(|part| part.len() as f64 / rows as f64)
            .collect();
        let learners = [first].into_iter().chain(self.mates.drain(..));
        let places = self.replicas.iter().zip(&self.devices).zip(&shares);
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (learners.zip(parts).zip(places))
                .map(|((learner, part), ((replica, device), &share))| {
                    let together = Together {
                        replica: replica.clone(),
                        share,
                        synchronised: self.synchronised,
                    };
                    let input = &input;
                    scope.spawn(move || {
                        let learn = || learner.step(input(part, device), settings, Some(&together));
                        together.replica.within(learn)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut done = Vec::new();
        let mut panics = Vec::new();
        for result in results {
            match result {
                Ok(step) => done.push(step?),
                Err(panic) => panics.push(panic),
            }
        }
        // The cause before its consequences.
        panics.sort_by_key(|panic| said(&**panic) == Replica::LEFT);
        if let Some(cause) = panics.into_iter().next() {
            panic::resume_unwind(cause);
        }
        let (learners, values): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let mut learners = learners.into_iter();
        let first = learners.next().ok_or(TrainError::NoLoss)?;
        self.mates = learners.collect();
        self.agree(&first)?;
        Ok((first, StepValues::joined(shares.into_iter().zip(values))))
    }

    /// What a method adapts without gradients follows the first replica's, as a resumed run's would.
    fn agree(&mut self, first: &Learner) -> Result<(), TrainError> {
        let state = first.objective.method.state();
        for mate in &mut self.mates {
            mate.objective.method.load_state(&state)?;
        }
        Ok(())
    }
}

impl Together {
    /// What the replica's loss is multiplied by, so that the mean over replicas is the gradient of the
    /// whole batch.
    pub fn factor(&self) -> f64 {
        self.share * self.replica.size() as f64
    }

    /// Runs a forward and backward pass as one of all replicas.
    pub fn pass<T>(&self, compute: impl FnOnce() -> T) -> T {
        match self.synchronised {
            true => synchronised(self.replica.clone(), self.share, compute),
            false => compute(),
        }
    }

    /// The mean of all replicas' gradients, in one exchange for each module.
    pub fn average(&self, net: &impl Module, objective: &Objective, gradients: &mut Gradients) {
        self.exchange(net, gradients);
        self.exchange(objective, gradients);
    }

    fn exchange(&self, module: &impl Module, gradients: &mut Gradients) {
        let mut collect = Collect {
            gradients,
            found: Vec::new(),
        };
        module.visit(&mut collect);
        if collect.found.is_empty() {
            return;
        }
        let means = self.replica.mean(Tensor::cat(collect.found, 0));
        let at = 0;
        module.visit(&mut Spread {
            gradients,
            means,
            at,
        });
    }
}

/// Gradients in the order of the parameters, flat.
struct Collect<'a> {
    gradients: &'a Gradients,
    found: Vec<Tensor<1>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients);
        self.found.extend(gradient.map(|g| g.reshape([-1])));
    }
}

/// The way back.
struct Spread<'a> {
    gradients: &'a mut Gradients,
    means: Tensor<1>,
    at: usize,
}

impl ModuleVisitor for Spread<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.grad(self.gradients).is_none() {
            return;
        }
        let (shape, count) = (value.dims(), value.shape().num_elements());
        let mean = self.means.clone().narrow(0, self.at, count);
        self.at += count;
        value.grad_replace(self.gradients, mean.reshape(shape));
    }
}
