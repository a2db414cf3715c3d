//! Plans of networks with several exits, one for each segment.

use offramp_cpu::program::Element;
use offramp_graph::{Graph, fold_batch_norms};

use crate::calibrate::Calibration;
use crate::compile::{Compile, Port};
use crate::lower::{borders, elements, writes_numbers_only};
use crate::{About, Executor, ExecutorError, Options, Plan};

/// One plan for each segment of a network, from an exit to the next.
#[derive(Clone, Debug)]
pub struct MultiExitPlan {
    segments: Vec<Plan>,
    /// For each segment, where its inputs come from: outputs of the one before.
    sources: Vec<Vec<usize>>,
    batch: usize,
    about: Option<About>,
}

impl MultiExitPlan {
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
    /// As [`MultiExitPlan::compile`] and [`Plan::quantized`].
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
            && batch > 0
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
        if first && (1..segments.len()).all(follows) {
            Ok(Self {
                segments,
                sources,
                batch,
                about: None,
            })
        } else {
            Err(ExecutorError::Chain {
                segment: 0,
                reason: "what one segment writes is not what the next one reads".to_owned(),
            })
        }
    }

    /// For each segment the outputs of the one before that its inputs are.
    pub(crate) fn sources(&self) -> &[Vec<usize>] {
        &self.sources
    }

    /// The same plan with what is known of its network, which a file of it holds too.
    ///
    /// # Errors
    /// [`ExecutorError::About`] when costs, classes or image are those of another network.
    pub fn with_about(mut self, about: About) -> Result<Self, ExecutorError> {
        let logits = self.classes(self.num_exits() - 1);
        match about.fault(self.num_exits(), logits, self.pixels()) {
            Some(reason) => Err(ExecutorError::About { reason }),
            None => {
                self.about = Some(about);
                Ok(self)
            }
        }
    }

    /// What is known of the network, if [`with_about`](Self::with_about) was called.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// The same plan for at most `batch` images, at least 1. The choice between direct and Winograd convolutions
    /// stays as it was made for the batch that the plan was compiled for.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        let batch = batch.max(1);
        self.batch = batch;
        self.segments = (self.segments.into_iter())
            .map(|segment| segment.with_batch(batch))
            .collect();
        self
    }

    /// The same plan for another number of threads.
    #[must_use]
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

    /// Number of logits at an exit.
    pub(crate) fn classes(&self, exit: usize) -> usize {
        self.segments[exit].program().parts().outputs[0].words()
    }

    /// Number of values of an image, `C x H x W`.
    pub fn pixels(&self) -> usize {
        self.segments[0].program().parts().inputs[0].words()
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
