//! Data-parallel training: the batch is split, and each part is computed by a replica on its own device, in
//! its own thread (Li et al., *PyTorch Distributed*, VLDB 2020).
//!
//! All replicas have the same parameters and optimiser state. Each computes the gradient of its part; all of
//! them step along the mean of the gradients, weighted by the number of images. The first replica is the one
//! that is validated and saved.

use std::{panic, thread};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use offramp_core::DeviceSpec;
use offramp_data::Batch;
use offramp_kernels::Replica;
use offramp_methods::Method;
use offramp_nn::synchronised;

use super::learner::{Learner, Objective, StepSettings};
use super::steps::panic_message;
use crate::TrainError;
use crate::batch::Input;
use crate::metrics::StepValues;

/// The replicas of a run beside the first, and how they exchange gradients.
#[derive(Debug)]
pub(super) struct DataParallel {
    /// The replicas but the first.
    others: Vec<Learner>,
    /// The devices of all replicas, the first included.
    devices: Vec<Device>,
    replicas: Vec<Replica>,
    /// Whether batch norm takes its statistics over all parts of the batch.
    synchronised: bool,
}

/// What one replica needs to know of the others in a step.
#[derive(Clone, Debug)]
pub(super) struct ReplicaContext {
    replica: Replica,
    /// Its share of the images of the batch.
    share: f64,
    synchronised: bool,
}

impl DataParallel {
    /// Copies the first learner onto the other devices; `None` for a run with one replica.
    ///
    /// # Errors
    /// When there are fewer devices than replicas, or batch norm cannot be synchronised on them.
    pub(crate) fn new(
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
            others: devices[1..].iter().map(|device| first.on(device)).collect(),
            replicas: Replica::group(&devices),
            devices,
            synchronised,
        }))
    }

    /// One step of all replicas; `input` moves a part of the batch to a device.
    ///
    /// # Errors
    /// The error of the first replica that failed.
    pub(crate) fn step(
        &mut self,
        first: Learner,
        batch: &Batch,
        input: impl Fn(Batch, &Device) -> Input + Sync,
        settings: StepSettings,
    ) -> Result<(Learner, StepValues), TrainError> {
        let (images, parts) = (batch.len(), batch.split(self.devices.len()));
        if parts.len() < self.devices.len() {
            return Err(TrainError::FewerImagesThanReplicas {
                images,
                replicas: self.devices.len(),
            });
        }
        let shares: Vec<f64> = (parts.iter())
            .map(|part| part.len() as f64 / images as f64)
            .collect();
        let learners = [first].into_iter().chain(self.others.drain(..));
        let places = self.replicas.iter().zip(&self.devices).zip(&shares);
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (learners.zip(parts).zip(places))
                .map(|((learner, part), ((replica, device), &share))| {
                    let replica_context = ReplicaContext {
                        replica: replica.clone(),
                        share,
                        synchronised: self.synchronised,
                    };
                    let input = &input;
                    scope.spawn(move || {
                        let learn =
                            || learner.step(input(part, device), settings, Some(&replica_context));
                        replica_context.replica.within(learn)
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
        // The cause comes before its consequences.
        panics.sort_by_key(|panic| panic_message(&**panic) == Replica::LEFT);
        if let Some(cause) = panics.into_iter().next() {
            panic::resume_unwind(cause);
        }
        let (learners, values): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let mut learners = learners.into_iter();
        let first = learners.next().ok_or(TrainError::NoLoss)?;
        self.others = learners.collect();
        self.agree(&first)?;
        Ok((first, StepValues::joined(shares.into_iter().zip(values))))
    }

    /// State that a method adapts without gradients is copied from the first replica, as in a resumed run.
    fn agree(&mut self, first: &Learner) -> Result<(), TrainError> {
        let state = first.objective.method.state();
        for other in &mut self.others {
            other.objective.method.load_state(&state)?;
        }
        Ok(())
    }
}

impl ReplicaContext {
    /// The factor of the replica's loss, so that the mean over replicas is the gradient of the
    /// whole batch.
    pub(crate) fn factor(&self) -> f64 {
        self.share * self.replica.size() as f64
    }

    /// Runs a forward and backward pass, with batch norm synchronised over the replicas where that is set.
    pub(crate) fn pass<T>(&self, compute: impl FnOnce() -> T) -> T {
        if self.synchronised {
            synchronised(self.replica.clone(), self.share, compute)
        } else {
            compute()
        }
    }

    /// Replaces the gradients by their mean over all replicas, with one all-reduce per module.
    pub(crate) fn average(
        &self,
        net: &impl Module,
        objective: &Objective,
        gradients: &mut Gradients,
    ) {
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

/// Collects the gradients, flat, in the order of the parameters.
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

/// Puts the means back into the gradients.
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
