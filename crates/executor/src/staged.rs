//! Networks with several exits: each sample leaves at its own.

use offramp_cpu::program::{Element, Machine};
use offramp_graph::{Graph, fold_batch_norms};

use crate::calibrate::Calibration;
use crate::compile::{Compile, Port};
use crate::lower::{borders, elements, writes_numbers_only};
use crate::{Executor, ExecutorError, Options, Plan};

/// One plan for each segment of a network, from an exit to the next.
#[derive(Clone, Debug)]
pub struct StagedPlan {
    segments: Vec<Plan>,
    /// For each segment, where its inputs come from: outputs of the one before.
    sources: Vec<Vec<usize>>,
    batch: usize,
}

impl StagedPlan {
    /// Compiles the graphs of a network's segments for at most `batch` images.
    ///
    /// The first graph reads the images. The first output of each are the logits of its exit; every
    /// input of a graph is an output of the one before, by name. What goes from segment to segment
    /// stays in cells.
    ///
    /// # Errors
    /// [`ExecutorError::Chain`] when the graphs do not follow each other so, and as [`Plan::compile`].
    pub fn compile(
        graphs: &[Graph],
        batch: usize,
        options: Options,
    ) -> Result<Self, ExecutorError> {
        let graphs: Vec<Graph> = graphs.iter().cloned().map(fold_batch_norms).collect();
        let sources = sources(&graphs)?;
        Self::of_folded(&graphs, sources, &[], batch, options)
    }

    /// Compiles segments whose convolutions compute with bytes, see [`Plan::quantized`].
    ///
    /// # Shapes
    /// - `images`: `[samples, C, H, W]`, from the validation rows
    ///
    /// # Errors
    /// As [`StagedPlan::compile`] and [`Plan::quantized`].
    pub fn quantized(
        graphs: &[Graph],
        batch: usize,
        options: Options,
        samples: usize,
        images: &[f32],
    ) -> Result<Self, ExecutorError> {
        let graphs: Vec<Graph> = graphs.iter().cloned().map(fold_batch_norms).collect();
        let sources = sources(&graphs)?;
        let mut inputs = vec![images.to_vec()];
        let mut all: Vec<Vec<Element>> = Vec::new();
        for (k, graph) in graphs.iter().enumerate() {
            let calibration = Calibration::of_folded(graph, samples, &inputs, options)?;
            all.push(elements(graph, &calibration));
            if let Some(from) = sources.get(k + 1) {
                let outputs = plain_outputs(graph, samples, &inputs, options)?;
                inputs = from.iter().map(|&output| outputs[output].clone()).collect();
            }
        }
        agree(&graphs, &sources, &mut all);
        Self::of_folded(&graphs, sources, &all, batch, options)
    }

    fn of_folded(
        graphs: &[Graph],
        sources: Vec<Vec<usize>>,
        elements: &[Vec<Element>],
        batch: usize,
        options: Options,
    ) -> Result<Self, ExecutorError> {
        let mut segments = Vec::with_capacity(graphs.len());
        let mut inputs = vec![Port::Plain; graphs[0].inputs().len()];
        for (k, graph) in graphs.iter().enumerate() {
            let next = graphs.get(k + 1).map(|next| (next, &sources[k + 1]));
            let outputs = onward(graph, next);
            let compile = Compile {
                inputs: &inputs,
                outputs: &outputs,
                watched: &[],
                elements: elements.get(k).map_or(&[], Vec::as_slice),
            };
            segments.push(compile.plan(graph, batch, options)?);
            if let Some((_, from)) = next {
                inputs = from.iter().map(|&output| outputs[output]).collect();
            }
        }
        Self::chained(segments, sources, batch)
    }

    /// Segments that are compiled, with the outputs that each one's inputs come from.
    pub(crate) fn chained(
        segments: Vec<Plan>,
        sources: Vec<Vec<usize>>,
        batch: usize,
    ) -> Result<Self, ExecutorError> {
        let parts = |k: usize| segments[k].program().parts();
        let first = segments.len() == sources.len()
            && !segments.is_empty()
            && segments.iter().all(|plan| plan.batch() == batch)
            && parts(0).inputs.len() == 1
            && segments
                .iter()
                .all(|plan| !plan.program().parts().outputs.is_empty());
        let follows = |k: usize| {
            parts(k).inputs.len() == sources[k].len()
                && (parts(k).inputs.iter().zip(&sources[k]))
                    .all(|(input, &output)| parts(k - 1).outputs.get(output) == Some(input))
        };
        match first && (1..segments.len()).all(follows) {
            true => Ok(Self {
                segments,
                sources,
                batch,
            }),
            false => Err(ExecutorError::Chain {
                segment: 0,
                reason: "what one segment writes is not what the next one reads".to_owned(),
            }),
        }
    }

    /// For each segment the outputs of the one before that its inputs are.
    pub(crate) fn sources(&self) -> &[Vec<usize>] {
        &self.sources
    }

    /// The same plan for another number of threads.
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.segments = (self.segments.into_iter())
            .map(|segment| segment.with_threads(threads))
            .collect();
        self
    }

    /// Number of exits.
    pub fn num_exits(&self) -> usize {
        self.segments.len()
    }

    /// The most images of a run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The segments.
    pub fn segments(&self) -> &[Plan] {
        &self.segments
    }
}

/// All outputs of a folded graph in `f32`.
fn plain_outputs(
    graph: &Graph,
    samples: usize,
    inputs: &[Vec<f32>],
    options: Options,
) -> Result<Vec<Vec<f32>>, ExecutorError> {
    let plan = Plan::compile(graph, samples, options)?;
    let layouts = plan.program().parts().outputs.clone();
    let mut outputs: Vec<Vec<f32>> = (layouts.iter())
        .map(|layout| vec![0.0; samples * layout.words()])
        .collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    Executor::new(plan).run(samples, &inputs, &mut slices)?;
    Ok(outputs)
}

/// Makes what a segment writes and the next one reads the same: bytes where either of them computes
/// with bytes and the writer can write them.
fn agree(graphs: &[Graph], sources: &[Vec<usize>], elements: &mut [Vec<Element>]) {
    for k in 1..graphs.len() {
        for (input, &output) in graphs[k].inputs().iter().zip(&sources[k]) {
            let written = graphs[k - 1].outputs()[output].value;
            let mut makers = graphs[k - 1].nodes().iter();
            let maker = makers.find(|node| node.output == written);
            let moved = maker.is_some_and(|node| writes_numbers_only(&node.op));
            let both = [
                elements[k - 1][written.index()],
                elements[k][input.value.index()],
            ];
            // Logits travel row by row.
            let element = match both {
                _ if output == 0 || moved => Element::F32,
                [Element::F32, read] => read,
                [written, _] => written,
            };
            elements[k - 1][written.index()] = element;
            elements[k][input.value.index()] = element;
        }
    }
}

/// For each graph the outputs of the one before that its inputs are.
fn sources(graphs: &[Graph]) -> Result<Vec<Vec<usize>>, ExecutorError> {
    let error = |segment: usize, reason: String| ExecutorError::Chain { segment, reason };
    let mut sources = vec![Vec::new()];
    match graphs.first() {
        Some(first) if first.inputs().len() == 1 => {}
        Some(first) => {
            let reason = format!(
                "it has {} inputs instead of the images",
                first.inputs().len()
            );
            return Err(error(0, reason));
        }
        None => return Err(error(0, "there are no segments".to_owned())),
    }
    for (k, pair) in graphs.windows(2).enumerate() {
        let place = |port: &offramp_graph::Port| {
            let found = pair[0].outputs().iter().position(|o| o.name == port.name);
            let fits = |&at: &usize| {
                let output = pair[0].outputs()[at].value;
                pair[0].shape(output) == pair[1].shape(port.value)
            };
            found.filter(fits).ok_or_else(|| {
                let reason = format!("the segment before has no output {:?} like it", port.name);
                error(k + 1, reason)
            })
        };
        sources.push(
            pair[1]
                .inputs()
                .iter()
                .map(place)
                .collect::<Result<_, _>>()?,
        );
    }
    if let Some(k) = graphs.iter().position(|graph| graph.outputs().is_empty()) {
        return Err(error(k, "it has no logits".to_owned()));
    }
    Ok(sources)
}

/// How the outputs of a segment lie: logits row by row, what goes on in cells with the borders that
/// its readers need.
fn onward(graph: &Graph, next: Option<(&Graph, &Vec<usize>)>) -> Vec<Port> {
    let mut ports = vec![Port::Plain; graph.outputs().len()];
    let Some((next, from)) = next else {
        return ports;
    };
    let [here, there] = [borders(graph), borders(next)];
    for (input, &output) in next.inputs().iter().zip(from) {
        if output > 0 {
            let value = graph.outputs()[output].value;
            let needed = here[value.index()].max(there[input.value.index()]);
            ports[output] = Port::Cells(needed);
        }
    }
    ports
}

/// A staged plan with its memory and threads.
#[derive(Debug)]
pub struct StagedExecutor {
    plan: StagedPlan,
    machine: Machine,
    /// Outputs of each segment, for the whole batch.
    outputs: Vec<Vec<Vec<f32>>>,
    /// The samples of the current batch, by row.
    waiting: Vec<usize>,
    exits: Vec<usize>,
    logits: Vec<f32>,
    /// Samples that each segment was computed for.
    reached: Vec<usize>,
    classes: usize,
}

/// The answers to a batch, in its order.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// The exit that each sample took, from 0.
    pub exits: &'a [usize],
    /// The logits of that exit, `[N, C]`.
    pub logits: &'a [f32],
    /// For how many samples each segment was computed.
    pub reached: &'a [usize],
}

impl StagedExecutor {
    /// Takes the memory and starts the threads; later runs allocate nothing.
    pub fn new(plan: StagedPlan) -> Self {
        let mut machine = Machine::new(plan.segments[0].options().threads);
        let mut outputs = Vec::new();
        for segment in &plan.segments {
            machine.reserve(segment.program(), segment.group());
            let layouts = &segment.program().parts().outputs;
            let buffers = layouts
                .iter()
                .map(|layout| vec![0.0; plan.batch * layout.words()]);
            outputs.push(buffers.collect());
        }
        let logits = |segment: &Plan| segment.program().parts().outputs[0].words();
        let classes = plan.segments.iter().map(logits).max().unwrap_or(0);
        Self {
            machine,
            outputs,
            waiting: Vec::with_capacity(plan.batch),
            exits: vec![0; plan.batch],
            logits: vec![0.0; plan.batch * classes],
            reached: vec![0; plan.num_exits()],
            classes,
            plan,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &StagedPlan {
        &self.plan
    }

    /// Answers `images` images, any number up to the plan's batch.
    ///
    /// After each segment `stop(exit, sample, logits)` is asked for every sample that is there, in the
    /// order of the batch; at the last exit it is not asked. Samples that go on move together, in cells
    /// as they are; nothing is computed for a sample after its exit, and no segment runs once the last
    /// sample has left.
    ///
    /// # Shapes
    /// - `images_in`: `[images, C, H, W]`
    ///
    /// # Errors
    /// [`ExecutorError::Batch`] for too many images, [`ExecutorError::Program`] for another number of
    /// pixels.
    pub fn run(
        &mut self,
        images: usize,
        images_in: &[f32],
        mut stop: impl FnMut(usize, usize, &[f32]) -> bool,
    ) -> Result<Answers<'_>, ExecutorError> {
        if images > self.plan.batch {
            return Err(ExecutorError::Batch {
                images,
                most: self.plan.batch,
            });
        }
        self.reached.fill(0);
        self.waiting.clear();
        self.waiting.extend(0..images);
        for exit in 0..self.plan.num_exits() {
            self.segment(exit, images_in)?;
            self.reached[exit] = self.waiting.len();
            self.leave(exit, &mut stop);
            if self.waiting.is_empty() {
                break;
            }
        }
        Ok(Answers {
            exits: &self.exits[..images],
            logits: &self.logits[..images * self.classes],
            reached: &self.reached,
        })
    }

    /// Computes a segment for the samples that wait.
    fn segment(&mut self, exit: usize, images: &[f32]) -> Result<(), ExecutorError> {
        let plan = &self.plan.segments[exit];
        let count = self.waiting.len();
        let (before, from) = self.outputs.split_at_mut(exit);
        let mut inputs = [images; MAX_CARRIED];
        let mut num_inputs = 1;
        if let Some(before) = before.last() {
            let layouts = &plan.program().parts().inputs;
            num_inputs = layouts.len();
            for (i, (slot, layout)) in inputs.iter_mut().zip(layouts).enumerate() {
                *slot = &before[self.plan.sources[exit][i]][..count * layout.words()];
            }
        }
        let mut outputs: [&mut [f32]; MAX_CARRIED] =
            std::array::from_fn(|_| &mut [] as &mut [f32]);
        let layouts = &plan.program().parts().outputs;
        for ((slot, buffer), layout) in outputs.iter_mut().zip(&mut from[0]).zip(layouts) {
            *slot = &mut buffer[..count * layout.words()];
        }
        self.machine.run(
            plan.program(),
            count,
            plan.group(),
            &inputs[..num_inputs],
            &mut outputs[..layouts.len()],
        )?;
        Ok(())
    }

    /// Answers the samples that stop and closes the gaps that they leave.
    fn leave(&mut self, exit: usize, stop: &mut impl FnMut(usize, usize, &[f32]) -> bool) {
        let layouts = &self.plan.segments[exit].program().parts().outputs;
        let is_last = exit + 1 == self.plan.num_exits();
        let width = layouts[0].words();
        let mut kept = 0;
        for row in 0..self.waiting.len() {
            let sample = self.waiting[row];
            let logits = &self.outputs[exit][0][row * width..][..width];
            if is_last || stop(exit, sample, logits) {
                self.exits[sample] = exit;
                self.logits[sample * self.classes..][..width].copy_from_slice(logits);
                continue;
            }
            if kept < row {
                for (buffer, layout) in self.outputs[exit].iter_mut().zip(layouts) {
                    let words = layout.words();
                    buffer.copy_within(row * words..(row + 1) * words, kept * words);
                }
                self.waiting[kept] = sample;
            }
            kept += 1;
        }
        self.waiting.truncate(kept);
    }
}

/// Most values that go from a segment to the next, as many as a program has ports.
const MAX_CARRIED: usize = 64;
