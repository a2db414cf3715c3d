//! The forward and backward pass of one batch, or of one part of it.

use burn::tensor::{Gradients, Tensor};
use offramp_core::{ExitOutput, ExitOutputs, add_gradients};
use offramp_heads::MultiExitNet;
use offramp_methods::distill::StepBatch;
use offramp_methods::{LossTerms, Method};

use super::learner::{Objective, StepSettings};
use crate::TrainError;
use crate::batch::Input;
use crate::config::Checkpointing;
use crate::teachers::Teachers;

/// The results of a pass.
pub(super) struct Pass {
    pub outputs: ForwardOutputs,
    pub terms: LossTerms,
    pub total: Tensor<1>,
    pub gradients: Gradients,
}

/// The outputs of student and teachers for some images.
#[derive(Default)]
pub(super) struct ForwardOutputs {
    pub student: ExitOutputs,
    pub teachers: Vec<ExitOutputs>,
}

/// The networks and settings of a pass.
#[derive(Clone, Copy)]
pub(super) struct PassContext<'a> {
    pub net: &'a MultiExitNet,
    pub objective: &'a Objective,
    pub teachers: &'a Teachers,
    pub settings: &'a StepSettings,
}

impl PassContext<'_> {
    /// Computes the losses of `input` and the gradients of `factor` times their sum.
    ///
    /// # Errors
    /// [`TrainError::NoLoss`] when nothing can be learned.
    pub(crate) fn pass(self, input: &Input, factor: f64) -> Result<Pass, TrainError> {
        let Self {
            net,
            objective: Objective { method, distill },
            teachers,
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
        let teacher_outputs = teachers.outputs(input, distill)?;
        let batch = StepBatch {
            images: &input.images,
            indices: &input.indices,
            outputs: &outputs,
            teachers: &teacher_outputs,
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
        let mut gradients = if factor == 1.0 {
            total.backward()
        } else {
            (total.clone() * factor).backward()
        };
        if let Some(boundaries) = boundaries {
            net.backward_by_blocks(boundaries, &mut gradients);
        }
        Ok(Pass {
            outputs: ForwardOutputs {
                student: outputs,
                teachers: teacher_outputs,
            },
            terms,
            total,
            gradients,
        })
    }

    /// The sum of two gradients of everything that is trained.
    pub(crate) fn add(self, mut sum: Gradients, mut more: Gradients) -> Gradients {
        add_gradients(self.net, &mut sum, &mut more);
        add_gradients(self.objective, &mut sum, &mut more);
        sum
    }
}

impl ForwardOutputs {
    /// What is kept while the next part of the batch is computed: detached embeddings and logits, and,
    /// with `stages`, the detached maps after the student's stages.
    pub(crate) fn detached(self, stages: bool) -> Self {
        let exit =
            |exit: ExitOutput| ExitOutput::new(exit.embedding.detach(), exit.logits.detach());
        let detached = |outputs: ExitOutputs, stages: bool| ExitOutputs {
            exits: outputs.exits.into_iter().map(exit).collect(),
            stages: if stages {
                outputs.stages.into_iter().map(Tensor::detach).collect()
            } else {
                Vec::new()
            },
        };
        let teachers = self.teachers.into_iter();
        Self {
            student: detached(self.student, stages),
            teachers: teachers.map(|outputs| detached(outputs, false)).collect(),
        }
    }

    /// Joins the parts of a batch; a single part stays as it is.
    pub(crate) fn joined(mut parts: Vec<Self>) -> Self {
        if parts.len() <= 1 {
            return parts.pop().unwrap_or_default();
        }
        let teachers = parts[0].teachers.len();
        let of = |pick: &dyn Fn(&Self) -> &ExitOutputs| join(parts.iter().map(pick).collect());
        Self {
            student: of(&|part| &part.student),
            teachers: (0..teachers)
                .map(|at| of(&|part| &part.teachers[at]))
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
            let values = parts.iter().map(|part| pick(&part.exits[exit]).clone());
            Tensor::cat(values.collect(), 0)
        };
        ExitOutput::new(of(|exit| &exit.embedding), of(|exit| &exit.logits))
    };
    let stage = |stage: usize| {
        let values = parts.iter().map(|part| part.stages[stage].clone());
        Tensor::cat(values.collect(), 0)
    };
    ExitOutputs {
        exits: fewest(ExitOutputs::len).map(exit).collect(),
        stages: fewest(|part| part.stages.len()).map(stage).collect(),
    }
}
