//! Lowers fused nodes to steps.

mod conv;
mod moves;
mod steps;
mod values;

use offramp_cpu::program::{Element, Layout, Place, Step, Value as Slot, Words};
use offramp_graph::{Graph, Node, Op, Value, WeightId};

use crate::ExecutorError;
use crate::compile::Port;
use values::shape3;

pub(crate) use values::{borders, elements, writes_numbers_only};

/// Channels in a cell of a map.
const LANES: usize = 16;

/// Steps that are being made. Values are numbered: the place in the arena is the number until all
/// steps are known.
pub(crate) struct Lowering<'a> {
    graph: &'a Graph,
    /// The batch, where Winograd's filtering is allowed.
    winograd: Option<usize>,
    /// For each value the border that its readers need.
    borders: Vec<usize>,
    /// What each value is stored as.
    elements: Vec<Element>,
    /// The bytes that convolutions read each value as, if they do.
    bytes: Vec<Element>,
    /// Where each value is.
    slots: Vec<Option<Slot>>,
    /// Copies of values that are stored in another way for some of their readers.
    twins: Vec<(Value, Slot)>,
    /// Values that are written to an output in cells, by port.
    ports: Vec<(usize, Value)>,
    pub num_slots: usize,
    pub steps: Vec<Step>,
    pub weights: Vec<f32>,
    pub input_layouts: Vec<Layout>,
    pub output_layouts: Vec<Layout>,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(graph: &'a Graph, winograd: Option<usize>) -> Self {
        Self {
            graph,
            winograd,
            borders: vec![0; graph.num_values()],
            elements: vec![Element::F32; graph.num_values()],
            bytes: vec![Element::F32; graph.num_values()],
            slots: vec![None; graph.num_values()],
            twins: Vec::new(),
            ports: Vec::new(),
            num_slots: 0,
            steps: Vec::new(),
            weights: Vec::new(),
            input_layouts: Vec::new(),
            output_layouts: Vec::new(),
        }
    }

    /// Finds out what border the readers of each value need.
    pub(crate) fn ask_for_borders(&mut self, inputs: &[Port], outputs: &[Port]) {
        self.borders = borders(self.graph);
        let ports = self.graph.inputs().iter().zip(inputs);
        for (port, kind) in ports.chain(self.graph.outputs().iter().zip(outputs)) {
            if let Port::Cells(border) = kind {
                let asked = &mut self.borders[port.value.index()];
                *asked = (*asked).max(*border);
            }
        }
    }

    /// States what each value is stored as; all in `f32` where the list is empty.
    pub(crate) fn ask_for_elements(&mut self, elements: &[Element]) {
        if !elements.is_empty() {
            self.elements = elements.to_vec();
            self.bytes = elements.to_vec();
        }
    }

    fn layout(&self, value: Value) -> Layout {
        let shape = shape3(self.graph.shape(value));
        let layout = Layout::blocked(shape, self.borders[value.index()]);
        layout.of(self.elements[value.index()])
    }

    fn fresh(&mut self, layout: Layout) -> Slot {
        self.num_slots += 1;
        Slot {
            place: Place::Arena(self.num_slots - 1),
            layout,
        }
    }

    /// Where a value that is read lies.
    fn slot(&self, value: Value) -> Slot {
        self.slots[value.index()].unwrap_or_else(|| unreachable!("read before it is written"))
    }

    /// The same in `f32`, converted if need be.
    fn numbers_of(&mut self, value: Value) -> Slot {
        let slot = self.slot(value);
        match slot.layout.element {
            Element::F32 => slot,
            Element::U8 { .. } => self.twin(value, slot, Element::F32),
        }
    }

    /// A copy that is stored as `element`, made once.
    fn twin(&mut self, value: Value, slot: Slot, element: Element) -> Slot {
        let known =
            (self.twins.iter()).find(|(of, twin)| *of == value && twin.layout.element == element);
        if let Some((_, twin)) = known {
            return *twin;
        }
        let twin = self.fresh(slot.layout.of(element));
        self.convert(slot, twin);
        self.twins.push((value, twin));
        twin
    }

    /// Where a value that is written shall lie.
    fn target(&mut self, value: Value) -> Slot {
        let layout = self.layout(value);
        let port = self.ports.iter().find(|(_, of)| *of == value);
        let slot = match port {
            Some((port, _)) => Slot {
                place: Place::Output(*port),
                layout,
            },
            None => self.fresh(layout),
        };
        self.slots[value.index()] = Some(slot);
        slot
    }

    /// Brings the inputs into cells.
    pub(crate) fn inputs(&mut self, kinds: &[Port]) {
        for (at, (port, kind)) in self.graph.inputs().iter().zip(kinds).enumerate() {
            let layout = self.layout(port.value);
            let place = Place::Input(at);
            match kind {
                Port::Cells(_) => {
                    self.input_layouts.push(layout);
                    self.slots[port.value.index()] = Some(Slot { place, layout });
                }
                Port::Plain => {
                    let plain = Layout::plain(layout.shape);
                    self.input_layouts.push(plain);
                    // What is copied number by number is in f32.
                    let output = self.fresh(layout.of(Element::F32));
                    self.slots[port.value.index()] = Some(output);
                    let input = Slot {
                        place,
                        layout: plain,
                    };
                    self.convert(input, output);
                }
            }
        }
    }

    /// States how the outputs lie; those in cells are written where they are made.
    pub(crate) fn outputs(&mut self, kinds: &[Port]) {
        let inputs = self.graph.inputs();
        for (at, (port, kind)) in self.graph.outputs().iter().zip(kinds).enumerate() {
            let layout = self.layout(port.value);
            self.output_layouts.push(match kind {
                Port::Plain => Layout::plain(layout.shape),
                Port::Cells(_) => layout,
            });
            let is_input = inputs.iter().any(|input| input.value == port.value);
            let is_taken = self.ports.iter().any(|(_, value)| *value == port.value);
            // A reshaped value may be another one's memory, which is elsewhere.
            let is_alias = (self.graph.nodes().iter())
                .any(|node| node.output == port.value && matches!(node.op, Op::Reshape { .. }));
            if *kind != Port::Plain && !is_input && !is_taken && !is_alias {
                self.ports.push((at, port.value));
            }
        }
    }

    /// Brings what is elsewhere to the outputs.
    pub(crate) fn finish(&mut self, watched: &[Value]) {
        for (at, port) in self.graph.outputs().iter().enumerate() {
            if self.ports.iter().any(|(port, _)| *port == at) {
                continue;
            }
            self.write_out(port.value, at);
        }
        for &value in watched {
            let layout = Layout::plain(shape3(self.graph.shape(value)));
            self.output_layouts.push(layout);
            self.write_out(value, self.output_layouts.len() - 1);
        }
    }

    /// Brings a value to an output.
    fn write_out(&mut self, value: Value, at: usize) {
        let layout = self.output_layouts[at];
        let place = Place::Output(at);
        let from = match layout.lanes {
            LANES => self.slot(value),
            _ => self.numbers_of(value),
        };
        self.convert(from, Slot { place, layout });
    }

    /// Adds numbers to the block of weights, which begin at a cache line.
    fn store(&mut self, numbers: &[f32]) -> Words {
        let start = self.weights.len().next_multiple_of(LANES);
        self.weights.resize(start, 0.0);
        self.weights.extend_from_slice(numbers);
        Words {
            start,
            len: numbers.len(),
        }
    }

    /// Numbers of channels, in whole vectors.
    fn store_vector(&mut self, mut numbers: Vec<f32>) -> Words {
        numbers.resize(numbers.len().next_multiple_of(LANES), 0.0);
        self.store(&numbers)
    }

    fn numbers(&self, id: WeightId) -> &'a [f32] {
        &self.graph.weight(id).data
    }
}

fn unsupported(node: &Node, reason: String) -> ExecutorError {
    ExecutorError::Unsupported {
        node: node.name.clone(),
        reason,
    }
}
