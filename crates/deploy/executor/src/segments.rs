//! The segments of a multi-exit plan with their memory.

use offramp_cpu::program::Machine;

use crate::{ExecutorError, MultiExitPlan, Plan};

/// Most values that go from a segment to the next, as many as a program has ports.
const MAX_CARRIED: usize = 64;

/// Plans, threads, and room for what every segment writes, for the whole batch.
#[derive(Debug)]
pub(crate) struct Segments {
    plan: MultiExitPlan,
    machine: Machine,
    /// By segment, then by output: rows of images.
    outputs: Vec<Vec<Vec<f32>>>,
}

impl Segments {
    /// Takes the memory and starts the threads.
    pub(crate) fn new(plan: MultiExitPlan) -> Self {
        let mut machine = Machine::new(plan.segments()[0].options().threads);
        let mut outputs = Vec::new();
        for segment in plan.segments() {
            machine.reserve(segment.program(), segment.group());
            let layouts = &segment.program().parts().outputs;
            let buffers = layouts
                .iter()
                .map(|layout| vec![0.0; plan.batch() * layout.words()]);
            outputs.push(buffers.collect());
        }
        Self {
            plan,
            machine,
            outputs,
        }
    }

    pub(crate) fn plan(&self) -> &MultiExitPlan {
        &self.plan
    }

    /// Computes segment `k` for the first `rows` images that wait for it (for the first segment, of
    /// `images`), and writes what comes out from row `to` on.
    pub(crate) fn compute(
        &mut self,
        k: usize,
        images: &[f32],
        rows: usize,
        to: usize,
    ) -> Result<(), ExecutorError> {
        let plan: &Plan = &self.plan.segments()[k];
        let parts = plan.program().parts();
        let (before, from) = self.outputs.split_at_mut(k);
        let mut inputs = [images; MAX_CARRIED];
        let mut num_inputs = 1;
        if let Some(before) = before.last() {
            num_inputs = parts.inputs.len();
            for (i, (slot, layout)) in inputs.iter_mut().zip(&parts.inputs).enumerate() {
                *slot = &before[self.plan.sources()[k][i]][..rows * layout.words()];
            }
        }
        let mut outputs: [&mut [f32]; MAX_CARRIED] =
            std::array::from_fn(|_| &mut [] as &mut [f32]);
        let ports = from[0].iter_mut().zip(&parts.outputs);
        for (slot, (buffer, layout)) in outputs.iter_mut().zip(ports) {
            *slot = &mut buffer[to * layout.words()..][..rows * layout.words()];
        }
        self.machine.run(
            plan.program(),
            rows,
            plan.group(),
            &inputs[..num_inputs],
            &mut outputs[..parts.outputs.len()],
        )?;
        Ok(())
    }

    /// The logits in a row of what segment `k` wrote.
    pub(crate) fn logits(&self, k: usize, row: usize) -> &[f32] {
        let width = self.plan.classes(k);
        &self.outputs[k][0][row * width..][..width]
    }

    /// Moves rows of what segment `k` wrote down to row `to`.
    pub(crate) fn shift(&mut self, k: usize, rows: std::ops::Range<usize>, to: usize) {
        let layouts = &self.plan.segments()[k].program().parts().outputs;
        for (buffer, layout) in self.outputs[k].iter_mut().zip(layouts) {
            let words = layout.words();
            buffer.copy_within(rows.start * words..rows.end * words, to * words);
        }
    }
}
