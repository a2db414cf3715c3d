//! One batch, or one of the parts of one, forward and backward.

use burn::tensor::{Gradients, Tensor};
use offramp_core::{ExitOutput, ExitOutputs, add_gradients};
use offramp_heads::MultiExitNet;
use offramp_methods::distill::TaughtBatch;
use offramp_methods::{LossTerms, Method};

use super::learner::{Objective, StepSettings};
use crate::TrainError;
use crate::batch::Input;
use crate::config::Checkpointing;
use crate::lectures::Faculty;

/// What came of some rows.
pub(super) struct Pass {
    pub seen: Seen,
    pub terms: LossTerms,
    pub total: Tensor<1>,
    pub gradients: Gradients,
}

/// What student and teachers made of some rows.
#[derive(Default)]
pub(super) struct Seen {
    pub outputs: ExitOutputs,
    pub lectures: Vec<ExitOutputs>,
}

/// Who takes part in a pass.
#[derive(Clone, Copy)]
pub(super) struct Class<'a> {
    pub net: &'a MultiExitNet,
    pub objective: &'a Objective,
    pub faculty: &'a Faculty,
    pub settings: &'a StepSettings,
}

impl Class<'_> {
    /// Computes the losses of `input` and the gradients of `factor` times their sum.
    ///
    /// # Errors
    /// [`TrainError::NoLoss`] when nothing can be learned.
    pub fn pass(self, input: &Input, factor: f64) -> Result<Pass, TrainError> {
        let Self {
            net,
            objective: Objective { method, distill },
            faculty,
            settings,
        } = self;
        let images = settings.precision.cast(input.images.clone());
        let (outputs, boundaries) = match settings.checkpointing {
            Checkpointing::None => (net.forward(images), None),
            Checkpointing::Blocks => {
                let (outputs, boundaries) = net.forward_by_blocks(images);
                (outputs, Some(boundaries))
            }
        };
        let lectures = faculty.lectures(input, distill)?;
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
        let mut gradients = match factor == 1.0 {
            true => total.backward(),
            false => (total.clone() * factor).backward(),
        };
        if let Some(boundaries) = boundaries {
            net.backward_by_blocks(boundaries, &mut gradients);
        }
        Ok(Pass {
            seen: Seen { outputs, lectures },
            terms,
            total,
            gradients,
        })
    }

    /// The sum of two gradients of everything that learns.
    pub fn add(self, mut sum: Gradients, mut more: Gradients) -> Gradients {
        add_gradients(self.net, &mut sum, &mut more);
        add_gradients(self.objective, &mut sum, &mut more);
        sum
    }
}

impl Seen {
    /// What is left of it when the next part of the batch is computed: the answers without a way back,
    /// and of the maps those after the student's stages, where somebody looks back at them.
    pub fn answers(self, stages: bool) -> Self {
        let answer =
            |exit: ExitOutput| ExitOutput::new(exit.embedding.detach(), exit.logits.detach());
        let answers = |outputs: ExitOutputs, stages: bool| ExitOutputs {
            exits: outputs.exits.into_iter().map(answer).collect(),
            stages: match stages {
                true => outputs.stages.into_iter().map(Tensor::detach).collect(),
                false => Vec::new(),
            },
        };
        let lectures = self.lectures.into_iter();
        Self {
            outputs: answers(self.outputs, stages),
            lectures: lectures.map(|outputs| answers(outputs, false)).collect(),
        }
    }

    /// The parts of a batch as one; a single part as it is.
    pub fn joined(mut parts: Vec<Self>) -> Self {
        if parts.len() <= 1 {
            return parts.pop().unwrap_or_default();
        }
        let teachers = parts[0].lectures.len();
        let of = |pick: &dyn Fn(&Self) -> &ExitOutputs| join(parts.iter().map(pick).collect());
        Self {
            outputs: of(&|part| &part.outputs),
            lectures: (0..teachers)
                .map(|at| of(&|part| &part.lectures[at]))
                .collect(),
        }
    }
}

fn join(parts: Vec<&ExitOutputs>) -> ExitOutputs {
    let fewest = |count: fn(&ExitOutputs) -> usize| {
        let counts = parts.iter().map(|part| count(part));
        0..counts.min().unwrap_or(0)
    };
    let exit = |exit: usize| {
        let of = |pick: fn(&ExitOutput) -> &Tensor<2>| {
            let rows = parts.iter().map(|part| pick(&part.exits[exit]).clone());
            Tensor::cat(rows.collect(), 0)
        };
        ExitOutput::new(of(|exit| &exit.embedding), of(|exit| &exit.logits))
    };
    let stage = |stage: usize| {
        let rows = parts.iter().map(|part| part.stages[stage].clone());
        Tensor::cat(rows.collect(), 0)
    };
    ExitOutputs {
        exits: fewest(ExitOutputs::len).map(exit).collect(),
        stages: fewest(|part| part.stages.len()).map(stage).collect(),
    }
}
