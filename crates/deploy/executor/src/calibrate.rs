//! The ranges of a network's values, from which its bytes are chosen.

use offramp_cpu::program::Element;
use offramp_graph::{Graph, Value};

use crate::compile::{Compile, Port};
use crate::fuse;
use crate::{Executor, ExecutorError, Options};

/// Values that are watched in one pass over the images.
const WATCHED: usize = 32;

/// Images that are computed at once.
const BATCH: usize = 32;

/// Smallest and largest number of every value that a step of a network makes.
///
/// Take images of the validation rows: ranges chosen on test rows would make the test score too good.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calibration {
    /// By value of the folded graph; none for those inside a step.
    ranges: Vec<Option<[f32; 2]>>,
}

impl Calibration {
    /// Watches the values of a folded graph in `f32` over some samples.
    ///
    /// # Shapes
    /// - `inputs`: one list an input of the graph, `[samples, ...]`
    pub(crate) fn of_folded(
        graph: &Graph,
        samples: usize,
        inputs: &[Vec<f32>],
        options: Options,
    ) -> Result<Self, ExecutorError> {
        let mut ranges = vec![None; graph.num_values()];
        for (port, numbers) in graph.inputs().iter().zip(inputs) {
            ranges[port.value.index()] = range(numbers);
        }
        let outputs: Vec<Value> = fuse::items(graph).iter().map(|item| item.output).collect();
        for watched in outputs.chunks(WATCHED) {
            let plan = Compile {
                inputs: &vec![Port::Plain; inputs.len()],
                outputs: &vec![Port::Plain; graph.outputs().len()],
                watched,
                elements: &[],
            }
            .plan(graph, BATCH, options)?;
            watch(plan, samples, inputs, graph, watched, &mut ranges)?;
        }
        Ok(Self { ranges })
    }

    /// The bytes that stand for a value, if it was watched: 0 is always one of them.
    pub(crate) fn element(&self, value: Value) -> Option<Element> {
        let [low, high] = (*self.ranges.get(value.index())?)?;
        let (low, high) = (low.min(0.0), high.max(0.0));
        let width = high - low;
        let scale = if width > 0.0 && width.is_finite() {
            width / 255.0
        } else {
            1.0
        };
        let zero = (-low / scale).round().clamp(0.0, 255.0) as u8;
        Some(Element::U8 { scale, zero })
    }
}

/// Runs a plan whose last outputs are the watched values.
fn watch(
    plan: crate::Plan,
    samples: usize,
    inputs: &[Vec<f32>],
    graph: &Graph,
    watched: &[Value],
    ranges: &mut [Option<[f32; 2]>],
) -> Result<(), ExecutorError> {
    let layouts = plan.program().parts().outputs.clone();
    let mut executor = Executor::new(plan);
    let mut outputs: Vec<Vec<f32>> = (layouts.iter())
        .map(|layout| vec![0.0; BATCH * layout.words()])
        .collect();
    for first in (0..samples).step_by(BATCH) {
        let count = BATCH.min(samples - first);
        let part = |numbers: &'_ Vec<f32>| {
            let size = numbers.len() / samples;
            first * size..(first + count) * size
        };
        let slices: Vec<&[f32]> = inputs.iter().map(|x| &x[part(x)]).collect();
        let mut into: Vec<&mut [f32]> = (outputs.iter_mut().zip(&layouts))
            .map(|(buffer, layout)| &mut buffer[..count * layout.words()])
            .collect();
        executor.run(count, &slices, &mut into)?;
        for (value, numbers) in watched.iter().zip(&into[graph.outputs().len()..]) {
            let known = &mut ranges[value.index()];
            *known = match (*known, range(numbers)) {
                (Some([a, b]), Some([c, d])) => Some([a.min(c), b.max(d)]),
                (known, found) => known.or(found),
            };
        }
    }
    Ok(())
}

fn range(numbers: &[f32]) -> Option<[f32; 2]> {
    let least = numbers.iter().copied().reduce(f32::min)?;
    let largest = numbers.iter().copied().reduce(f32::max)?;
    Some([least, largest])
}
