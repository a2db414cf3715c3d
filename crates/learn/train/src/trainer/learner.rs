//! What training changes, and one step of it.

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use offramp_core::Precision;
use offramp_heads::MultiExitNet;
use offramp_methods::distill::{Distillers, TaughtBatch};
use offramp_methods::{AnyMethod, Lookahead, Method, Rehearsal, StepContext};

use super::pass::{Class, Seen};
use super::readings::Readings;
use super::team::Together;
use crate::batch::Input;
use crate::config::Checkpointing;
use crate::ema::Ema;
use crate::lectures::Faculty;
use crate::loss_scale::LossScale;
use crate::metrics::StepValues;
use crate::optim::{GradientNorm, Optimizer};
use crate::{DISTILL, METHOD, NET, TrainError};

/// What is learned, by whom it is taught, and how it is updated.
#[derive(Debug)]
pub(crate) struct Learner {
    pub net: MultiExitNet,
    pub objective: Objective,
    /// Trained networks; nothing changes them.
    pub faculty: Faculty,
    pub optimizer: Optimizer,
    pub ema: Option<Ema>,
    /// With float16 alone.
    pub scale: Option<LossScale>,
}

/// What is minimised; some of it has parameters of its own.
#[derive(Module, Debug)]
pub(crate) struct Objective {
    /// How exits are classified and teach each other.
    pub method: AnyMethod,
    /// What exits learn from other networks.
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
    /// Learns from one batch: forward, backward, update. Everything that is logged comes back
    /// from the device in one transfer, after the update has been queued.
    ///
    /// Where the loss is scaled, the step is left out when a gradient is not finite: of everything here
    /// only the running statistics, which forward passes move, and the scale change then.
    ///
    /// With other replicas, `input` is a part of the batch, and the step is by the gradient of all.
    ///
    /// # Errors
    /// [`TrainError::NoLoss`] when nothing can be learned.
    pub fn step(
        mut self,
        input: Input,
        settings: StepSettings,
        together: Option<&Together>,
    ) -> Result<(Self, StepValues), TrainError> {
        if self.objective.method.rehearses(&settings.context) {
            self.rehearse(&input, settings.lr);
        }
        let (images, labelled) = (input.rows.len(), input.labelled);
        let factor = self.scale.as_ref().map_or(1.0, LossScale::factor)
            * together.map_or(1.0, Together::factor);
        let class = Class {
            net: &self.net,
            objective: &self.objective,
            faculty: &self.faculty,
            settings: &settings,
        };
        let mut sum: Option<Gradients> = None;
        let (mut readings, mut seen) = (Readings::default(), Vec::new());
        let parts = input.parts(settings.accumulate);
        for part in &parts {
            let share = part.rows.len() as f64 / images as f64;
            let pass = match together {
                Some(together) => together.pass(|| class.pass(part, factor * share))?,
                None => class.pass(part, factor * share)?,
            };
            readings.note(&pass, &part.targets.labels, share);
            sum = Some(match sum {
                Some(sum) => class.add(sum, pass.gradients),
                None => pass.gradients,
            });
            seen.push(match parts.len() {
                1 => pass.seen,
                _ => pass
                    .seen
                    .answers(self.objective.method.looks_back_at_stages()),
            });
        }
        let mut gradients = sum.ok_or(TrainError::NoLoss)?;
        if let Some(together) = together {
            together.average(&self.net, &self.objective, &mut gradients);
        }

        let norm = self.norm(&settings, &gradients);
        let finite = match self.scale {
            Some(_) => norm.is_finite(),
            None => true,
        };
        if finite {
            let scale = norm.scale(settings.clip_norm);
            self = self.update(&mut gradients, &settings, scale.as_ref());
            self.look_back(&input, &Seen::joined(seen), &settings);
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

    /// A copy on another device, which has no moving average.
    pub fn on(&self, device: &Device) -> Self {
        let tracked = device.clone().autodiff();
        Self {
            net: self.net.clone().fork(&tracked),
            objective: self.objective.clone().fork(&tracked),
            faculty: self.faculty.on(device),
            optimizer: self.optimizer.on(device),
            ema: None,
            scale: self.scale,
        }
    }

    /// In float32, whatever the step computes in: how a loss changes over a thousandth of a step is
    /// below what narrower numbers can tell apart.
    fn rehearse(&mut self, input: &Input, lr: f64) {
        let optimizer = &Trial {
            optimizer: &self.optimizer,
            lr,
        };
        self.objective.method.rehearse(&Rehearsal {
            net: &self.net,
            images: &input.images,
            targets: &input.targets,
            optimizer,
        });
    }

    /// The norm of all gradients; nothing where nobody asks for it.
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

    /// What follows an update.
    fn look_back(&mut self, input: &Input, seen: &Seen, settings: &StepSettings) {
        let Objective { method, distill } = &mut self.objective;
        method.after_step(&seen.outputs);
        distill.after_step(&TaughtBatch {
            images: &input.images,
            rows: &input.rows,
            outputs: &seen.outputs,
            teachers: &seen.lectures,
            targets: &input.targets,
            context: &settings.context,
        });
        self.net = distill.share(self.net.clone());
        if let Some(ema) = &mut self.ema {
            ema.update(&self.net, settings.step);
        }
    }
}

/// The step that is about to be taken, on a copy.
struct Trial<'a> {
    optimizer: &'a Optimizer,
    lr: f64,
}

impl Lookahead for Trial<'_> {
    fn step(&self, net: MultiExitNet, gradients: &mut Gradients) -> MultiExitNet {
        let mut optimizer = self.optimizer.clone();
        optimizer.step(NET, net, gradients, self.lr, None)
    }

    fn gain(&self) -> f64 {
        // A run whose method rehearses does not start with any other optimiser.
        self.optimizer.gain(self.lr).unwrap_or(self.lr)
    }

    fn progress(&self) -> f64 {
        self.lr / self.optimizer.base_lr()
    }
}
