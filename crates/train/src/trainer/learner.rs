//! What training changes, and one step of it.

use burn::module::Module;
use burn::tensor::{Gradients, Int, Tensor};
use offramp_core::ExitOutputs;
use offramp_heads::MultiExitNet;
use offramp_methods::distill::{Distillers, TaughtBatch};
use offramp_methods::{AnyMethod, Lookahead, LossTerms, Method, Rehearsal, StepContext};

use crate::batch::Input;
use crate::ema::Ema;
use crate::lectures::Faculty;
use crate::metrics::{StepValues, TermValue};
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
    pub context: StepContext,
}

impl Learner {
    /// Learns from one batch: forward, backward, update. Everything that is logged comes back
    /// from the device in one transfer, after the update has been queued.
    ///
    /// # Errors
    /// [`TrainError::NoLoss`] when nothing can be learned.
    pub fn step(
        self,
        input: Input,
        settings: StepSettings,
    ) -> Result<(Self, StepValues), TrainError> {
        let Self {
            net,
            objective:
                Objective {
                    mut method,
                    mut distill,
                },
            faculty,
            mut optimizer,
            mut ema,
        } = self;
        if method.rehearses(&settings.context) {
            method.rehearse(&Rehearsal {
                net: &net,
                images: &input.images,
                targets: &input.targets,
                optimizer: &Trial {
                    optimizer: &optimizer,
                    lr: settings.lr,
                },
            });
        }
        let outputs = net.forward(input.images.clone());
        let lectures = faculty.lectures(&input, &distill)?;
        let batch = TaughtBatch {
            images: &input.images,
            rows: &input.rows,
            outputs: &outputs,
            teachers: &lectures,
            targets: &input.targets,
            context: &settings.context,
        };
        let mut terms = method.losses(&outputs, &input.targets, &settings.context);
        distill.push_losses(&mut terms, &batch);
        if terms.is_empty() {
            return Err(TrainError::NoLoss);
        }
        let total = terms.total();
        if !total.is_tracked() {
            return Err(TrainError::NoLoss);
        }
        let mut gradients = total.backward();

        let norm = settings.clip_norm.map(|max| {
            let mut norm = GradientNorm::default();
            norm.add(&net, &gradients);
            norm.add(&method, &gradients);
            norm.add(&distill, &gradients);
            (norm.value(), norm.clip(max))
        });
        let (norm, scale) = norm.unwrap_or_default();
        let (lr, scale) = (settings.lr, scale.as_ref());
        let net = optimizer.step(NET, net, &mut gradients, lr, scale);
        method = optimizer.step(METHOD, method, &mut gradients, lr, scale);
        distill = optimizer.step(DISTILL, distill, &mut gradients, lr, scale);
        method.after_step(&outputs);
        distill.after_step(&batch);
        let net = distill.share(net);
        if let Some(ema) = &mut ema {
            ema.update(&net, settings.step);
        }

        let mut values = read_back(&terms, total, &outputs, &input.targets.labels, norm);
        values.images = input.rows.len();
        values.labelled = input.labelled;
        Ok((
            Self {
                net,
                objective: Objective { method, distill },
                faculty,
                optimizer,
                ema,
            },
            values,
        ))
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

/// Total, terms, right answers of each exit and the norm, in one transfer.
fn read_back(
    terms: &LossTerms,
    total: Tensor<1>,
    outputs: &ExitOutputs,
    labels: &Tensor<1, Int>,
    norm: Option<Tensor<1>>,
) -> StepValues {
    let labels = labels.clone().without_autodiff().unsqueeze_dim::<2>(1);
    let correct = outputs.logits().map(|logits| {
        let prediction = logits.clone().without_autodiff().argmax(1);
        prediction.equal(labels.clone()).float().sum()
    });
    let exits = correct.len();
    let clipped = norm.is_some();
    let all: Vec<Tensor<1>> = [total.without_autodiff()]
        .into_iter()
        .chain(
            terms
                .iter()
                .map(|term| term.value.clone().without_autodiff()),
        )
        .chain(correct)
        .chain(norm)
        .collect();
    let mut values = Tensor::cat(all, 0)
        .into_data()
        .iter::<f64>()
        .collect::<Vec<_>>()
        .into_iter();
    let mut next = || values.next().unwrap_or(f64::NAN);
    StepValues {
        loss: next(),
        terms: terms
            .iter()
            .map(|term| TermValue {
                name: term.name.clone(),
                value: next(),
                weight: term.weight,
            })
            .collect(),
        correct: (0..exits).map(|_| next()).collect(),
        gradient_norm: clipped.then(&mut next),
        ..StepValues::default()
    }
}
