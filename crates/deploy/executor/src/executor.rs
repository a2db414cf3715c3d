//! Runs a plan.

use offramp_cpu::program::Machine;

use crate::{ExecutorError, Plan};

/// A plan with its memory and threads.
#[derive(Debug)]
pub struct Executor {
    plan: Plan,
    machine: Machine,
}

impl Executor {
    /// Takes the memory and starts the threads; later runs allocate nothing.
    pub fn new(plan: Plan) -> Self {
        let mut machine = Machine::new(plan.options().threads);
        machine.reserve(plan.program(), plan.group());
        Self { plan, machine }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Computes the outputs of `images` images, any number up to the plan's batch.
    ///
    /// # Shapes
    /// - `inputs`: one slice an input of the graph, `[images, ...]`, the last axis fastest
    /// - `outputs`: one slice an output of the graph, alike
    ///
    /// # Errors
    /// [`ExecutorError::Batch`] for too many images, [`ExecutorError::Program`] for a slice that is
    /// missing or of another length.
    pub fn run(
        &mut self,
        images: usize,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
    ) -> Result<(), ExecutorError> {
        if images > self.plan.batch() {
            return Err(ExecutorError::Batch {
                images,
                most: self.plan.batch(),
            });
        }
        let group = self.plan.group();
        self.machine
            .run(self.plan.program(), images, group, inputs, outputs)?;
        Ok(())
    }
}
