//! What training changes, and one step of it.

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use offramp_core::Precision;
use offramp_heads::MultiExitNet;
use offramp_methods::distill::{Distillers, StepBatch};
use offramp_methods::{AnyMethod, LookAhead, Method, StepContext, TrialStep};

use super::data_parallel::ReplicaContext;
use super::pass::{ForwardOutputs, PassContext};
use super::readings::Readings;
use crate::batch::Input;
use crate::config::Checkpointing;
use crate::ema::Ema;
use crate::loss_scale::LossScale;
use crate::metrics::StepValues;
use crate::optim::{GradientNorm, Optimizer};
use crate::teachers::Teachers;
use crate::{DISTILL, METHOD, NET, TrainError};

/// The network, its objective, its teachers and its optimiser.
#[derive(Debug)]
pub(crate) struct Learner {
    pub net: MultiExitNet,
    pub objective: Objective,
    /// The external teachers, which stay fixed.
    pub teachers: Teachers,
    pub optimizer: Optimizer,
    pub ema: Option<Ema>,
    /// The factor of the loss, with float16 only.
    pub scale: Option<LossScale>,
}

/// What is minimised; methods and distillers may have parameters of their own.
#[derive(Module, Debug)]
pub(crate) struct Objective {
    /// The method: the exits' classification losses, and how the exits teach each other.
    pub method: AnyMethod,
    /// The distillers: what exits learn from other networks.
    pub distill: Distillers,
}

/// Settings of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSettings {
    /// Its number, from 0.
    pub step: u64,
    pub lr: f64,
    pub clip_norm: Option<f64>,
    pub precision: Precision,
    /// Parts of the batch.
    pub accumulate: usize,
    pub checkpointing: Checkpointing,
    pub context: StepContext,
}

impl Learner {
    /// One training step: forward, backward, update. Everything that is logged is read from the
    /// device in one transfer, after the update has been queued.
    ///
    /// Where the loss is scaled, the update is skipped when a gradient is not finite; only the running
    /// statistics, which forward passes update, and the scale change then.
    ///
    /// With other replicas, `input` is this replica's part of the batch, and the update uses the mean
    /// gradient of all replicas.
    ///
    /// # Errors
    /// [`TrainError::NoLoss`] when nothing can be learned.
    pub(crate) fn step(
        mut self,
        input: Input,
        settings: StepSettings,
        replica_context: Option<&ReplicaContext>,
    ) -> Result<(Self, StepValues), TrainError> {
        if self.objective.method.looks_ahead(&settings.context) {
            self.look_ahead(&input, settings.lr);
        }
        let (images, labelled) = (input.indices.len(), input.labelled);
        let factor = self.scale.as_ref().map_or(1.0, LossScale::factor)
            * replica_context.map_or(1.0, ReplicaContext::factor);
        let context = PassContext {
            net: &self.net,
            objective: &self.objective,
            teachers: &self.teachers,
            settings: &settings,
        };
        let mut sum: Option<Gradients> = None;
        let (mut readings, mut outputs) = (Readings::default(), Vec::new());
        let parts = input.parts(settings.accumulate);
        for part in &parts {
            let share = part.indices.len() as f64 / images as f64;
            let pass = match replica_context {
                Some(replica_context) => {
                    replica_context.pass(|| context.pass(part, factor * share))?
                }
                None => context.pass(part, factor * share)?,
            };
            readings.note(&pass, &part.targets.labels, share);
            sum = Some(match sum {
                Some(sum) => context.add(sum, pass.gradients),
                None => pass.gradients,
            });
            outputs.push(match parts.len() {
                1 => pass.outputs,
                _ => pass
                    .outputs
                    .detached(self.objective.method.looks_back_at_stages()),
            });
        }
        let mut gradients = sum.ok_or(TrainError::NoLoss)?;
        if let Some(replica_context) = replica_context {
            replica_context.average(&self.net, &self.objective, &mut gradients);
        }

        let norm = self.norm(&settings, &gradients);
        let finite = match self.scale {
            Some(_) => norm.is_finite(),
            None => true,
        };
        if finite {
            let scale = norm.scale(settings.clip_norm);
            self = self.update(&mut gradients, &settings, scale.as_ref());
            self.after_update(&input, &ForwardOutputs::joined(outputs), &settings);
        }
        let logged = settings.clip_norm.filter(|_| finite);
        let mut values = readings.read(logged.and_then(|_| norm.value()));
        values.images = images;
        values.labelled = labelled;
        values.skipped = !finite;
        values.loss_scale = self.scale.as_ref().map(LossScale::factor);
        self.scale = self.scale.map(|scale| scale.after(finite));
        Ok((self, values))
    }

    /// A copy on another device, without a moving average of the weights.
    pub(crate) fn on(&self, device: &Device) -> Self {
        let tracked = device.clone().autodiff();
        Self {
            net: self.net.clone().fork(&tracked),
            objective: self.objective.clone().fork(&tracked),
            teachers: self.teachers.on(device),
            optimizer: self.optimizer.on(device),
            ema: None,
            scale: self.scale,
        }
    }

    /// Lets the method look ahead, in float32 whatever the precision of the step: the change of a loss
    /// over a thousandth of a step is below what narrower types resolve.
    fn look_ahead(&mut self, input: &Input, lr: f64) {
        let optimizer = &Trial {
            optimizer: &self.optimizer,
            lr,
        };
        self.objective.method.look_ahead(&LookAhead {
            net: &self.net,
            images: &input.images,
            targets: &input.targets,
            optimizer,
        });
    }

    /// The norm of all gradients; empty where neither clipping nor scaling needs it.
    fn norm(&self, settings: &StepSettings, gradients: &Gradients) -> GradientNorm {
        let mut norm = GradientNorm::of_scaled(self.scale.as_ref().map(LossScale::factor));
        if settings.clip_norm.is_some() || self.scale.is_some() {
            norm.add(&self.net, gradients);
            norm.add(&self.objective.method, gradients);
            norm.add(&self.objective.distill, gradients);
        }
        norm
    }

    /// The optimiser's step.
    fn update(
        mut self,
        gradients: &mut Gradients,
        settings: &StepSettings,
        scale: Option<&Tensor<1>>,
    ) -> Self {
        let (lr, optimizer) = (settings.lr, &mut self.optimizer);
        let Objective { method, distill } = self.objective;
        self.net = optimizer.step(NET, self.net, gradients, lr, scale);
        self.objective = Objective {
            method: optimizer.step(METHOD, method, gradients, lr, scale),
            distill: optimizer.step(DISTILL, distill, gradients, lr, scale),
        };
        self
    }

    /// Hands the step's outputs to method and distillers, and updates the moving average.
    fn after_update(&mut self, input: &Input, outputs: &ForwardOutputs, settings: &StepSettings) {
        let Objective { method, distill } = &mut self.objective;
        method.after_step(&outputs.student);
        distill.after_step(&StepBatch {
            images: &input.images,
            indices: &input.indices,
            outputs: &outputs.student,
            teachers: &outputs.teachers,
            targets: &input.targets,
            context: &settings.context,
        });
        self.net = distill.share(self.net.clone());
        if let Some(ema) = &mut self.ema {
            ema.update(&self.net, settings.step);
        }
    }
}

/// The optimiser's next step, on a copy of the network.
struct Trial<'a> {
    optimizer: &'a Optimizer,
    lr: f64,
}

impl TrialStep for Trial<'_> {
    fn step(&self, net: MultiExitNet, gradients: &mut Gradients) -> MultiExitNet {
        let mut optimizer = self.optimizer.clone();
        optimizer.step(NET, net, gradients, self.lr, None)
    }

    fn gain(&self) -> f64 {
        // A run whose method looks ahead does not start with another optimiser than SGD.
        self.optimizer.gain(self.lr).unwrap_or(self.lr)
    }

    fn progress(&self) -> f64 {
        self.lr / self.optimizer.base_lr()
    }
}
