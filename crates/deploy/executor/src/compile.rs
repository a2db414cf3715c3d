//! Compiles a graph to a plan.

use offramp_cpu::program::{Element, Parts, Phase, Place, Program, Step, Weights};
use offramp_graph::{Graph, Value, fold_batch_norms};
use serde::{Deserialize, Serialize};

use crate::ExecutorError;
use crate::calibrate::Calibration;
use crate::fuse;
use crate::lower::{Lowering, elements};
use crate::places::{Life, places};

/// How a plan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Number of threads, the caller's counted.
    pub threads: usize,
    /// Whether 3x3 convolutions may use Winograd's filtering, which rounds a little differently.
    pub winograd: bool,
}

impl Default for Options {
    /// All processors there are.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            winograd: true,
        }
    }
}

/// How an input or output of a plan lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Row-major.
    Plain,
    /// In cells, with a border of at least this.
    Cells(usize),
}

/// What is made of a folded graph.
pub(crate) struct Compile<'a> {
    /// How the inputs lie.
    pub inputs: &'a [Port],
    /// How the outputs lie.
    pub outputs: &'a [Port],
    /// Values that are written out too, row-major, behind the outputs.
    pub watched: &'a [Value],
    /// What each value is stored as, by number; all are `f32` where there are none.
    pub elements: &'a [Element],
}

impl Compile<'_> {
    pub(crate) fn plan(
        &self,
        graph: &Graph,
        batch: usize,
        options: Options,
    ) -> Result<Plan, ExecutorError> {
        let mut lowering = Lowering::new(graph, options.winograd.then_some(batch));
        lowering.ask_for_borders(self.inputs, self.outputs);
        lowering.ask_for_elements(self.elements);
        lowering.inputs(self.inputs);
        lowering.outputs(self.outputs);
        for item in fuse::items(graph) {
            lowering.item(&item)?;
        }
        lowering.finish(self.watched);
        let mut parts = Parts {
            inputs: lowering.input_layouts,
            outputs: lowering.output_layouts,
            phases: Phase::of(&lowering.steps),
            steps: lowering.steps,
            arena: 0,
        };
        place(&mut parts, lowering.num_slots);
        let weights = Weights::new(&lowering.weights);
        Ok(Plan {
            program: Program::new(parts, weights)?,
            batch,
            options,
        })
    }
}

/// A network as steps with planned memory and packed weights.
#[derive(Clone, Debug)]
pub struct Plan {
    program: Program,
    batch: usize,
    options: Options,
}

/// All ports row-major.
fn plain<'a>(graph: &Graph, elements: &'a [Element]) -> Compile<'a> {
    const PORTS: [Port; 64] = [Port::Plain; 64];
    Compile {
        inputs: &PORTS[..graph.inputs().len().min(PORTS.len())],
        outputs: &PORTS[..graph.outputs().len().min(PORTS.len())],
        watched: &[],
        elements,
    }
}

/// Words of the arena that the images of a thread may take.
const GROUP_WORDS: usize = 16 << 20;

/// The most images of a thread: enough to share a reading of the weights.
const GROUP: usize = 32;

impl Plan {
    /// Compiles a graph for at most `batch` images at once. Batch norms are folded first.
    ///
    /// # Errors
    /// [`ExecutorError::Unsupported`] names a node that no step can be made for.
    pub fn compile(graph: &Graph, batch: usize, options: Options) -> Result<Self, ExecutorError> {
        let graph = fold_batch_norms(graph.clone());
        plain(&graph, &[]).plan(&graph, batch, options)
    }

    /// Compiles a graph whose convolutions compute with bytes, chosen for the ranges that values have
    /// over some samples: weights by output channel, activations by value. The first convolution,
    /// grouped ones and linear layers stay in `f32`.
    ///
    /// # Shapes
    /// - `inputs`: one list an input of the graph, `[samples, ...]`, from the validation rows
    ///
    /// # Errors
    /// As [`Plan::compile`], and [`ExecutorError::Program`] when an input has another number of values.
    pub fn quantized(
        graph: &Graph,
        batch: usize,
        options: Options,
        samples: usize,
        inputs: &[Vec<f32>],
    ) -> Result<Self, ExecutorError> {
        let graph = fold_batch_norms(graph.clone());
        let calibration = Calibration::of_folded(&graph, samples, inputs, options)?;
        let elements = elements(&graph, &calibration);
        plain(&graph, &elements).plan(&graph, batch, options)
    }

    /// A plan from a file.
    pub(crate) fn from_program(program: Program, batch: usize, options: Options) -> Self {
        Self {
            program,
            batch,
            options,
        }
    }

    /// The same plan for at most `batch` images.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// The same plan for another number of threads.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.options.threads = threads;
        self
    }

    /// The steps and weights.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The most images of a run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// How it was made.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Images that a thread takes at once: an even share, within limits.
    pub fn group(&self) -> usize {
        let share = self.batch.div_ceil(self.options.threads.max(1)).max(1);
        let fits = GROUP_WORDS / self.program.parts().arena.max(1);
        share.min(fits.clamp(1, GROUP))
    }
}

/// Replaces the numbers of values, which the lowering gives as places in the arena, by real places.
fn place(parts: &mut Parts, slots: usize) {
    let mut lives: Vec<Option<Life>> = vec![None; slots];
    for (at, step) in parts.steps.iter().enumerate() {
        for value in step.inputs().into_iter().chain([step.output()]) {
            if let Place::Arena(slot) = value.place {
                let life = lives[slot].get_or_insert(Life {
                    words: value.layout.words(),
                    first: at,
                    last: at,
                });
                life.last = at;
            }
        }
    }
    // Images are in different steps of a phase at a time, see `Phase`.
    for life in lives.iter_mut().flatten() {
        let phase = |step: usize| parts.phases.iter().find(|phase| step < phase.end);
        if let (Some(begin), Some(end)) = (phase(life.first), phase(life.last))
            && begin != end
        {
            (life.first, life.last) = (begin.first, end.end - 1);
        }
    }
    let used: Vec<usize> = (0..slots).filter(|&slot| lives[slot].is_some()).collect();
    let (found, size) = places(&lives.iter().flatten().copied().collect::<Vec<_>>());
    let mut offsets = vec![0; slots];
    for (slot, offset) in used.into_iter().zip(found) {
        offsets[slot] = offset;
    }
    for value in parts.steps.iter_mut().flat_map(Step::values_mut) {
        if let Place::Arena(slot) = value.place {
            value.place = Place::Arena(offsets[slot]);
        }
    }
    parts.arena = size;
}
