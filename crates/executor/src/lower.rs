//! From fused nodes to steps.

use offramp_cpu::program::{
    Activation, ByteWeights, Conv, Copy, Element, LayerNorm, Layout, Place, PointOp, Pointwise,
    Pool, Pooling, Quantized, Run, Step, Value as Slot, Words,
};
use offramp_graph::{ConvGeometry, Graph, Node, Op, Value, WeightId, Window};

use crate::ExecutorError;
use crate::calibrate::Calibration;
use crate::compile::Port;
use crate::fuse::{self, Item};
use crate::runs::runs;

const LANES: usize = 16;

/// Channels from which Winograd's filtering saves more than its transforms cost.
const WINOGRAD_CHANNELS: usize = 32;

/// Outputs of a thread's images from which its larger weights are worth reading.
const WINOGRAD_OUTPUTS: usize = 128;

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

/// A shape as that of a map with the same order of numbers; a vector `[D]` is `[D, 1, 1]`.
pub(crate) fn shape3(shape: &[usize]) -> [usize; 3] {
    match *shape {
        [] => [1, 1, 1],
        [d] => [d, 1, 1],
        [c, h] => [c, h, 1],
        [c, h, ref rest @ ..] => [c, h, rest.iter().product()],
    }
}

impl<'a> Lowering<'a> {
    pub fn new(graph: &'a Graph, winograd: Option<usize>) -> Self {
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
    pub fn ask_for_borders(&mut self, inputs: &[Port], outputs: &[Port]) {
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
    pub fn ask_for_elements(&mut self, elements: &[Element]) {
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
    pub fn inputs(&mut self, kinds: &[Port]) {
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
    pub fn outputs(&mut self, kinds: &[Port]) {
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
    pub fn finish(&mut self, watched: &[Value]) {
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

    /// The same numbers in another layout.
    fn convert(&mut self, input: Slot, output: Slot) {
        if input.layout.lanes == LANES && output.layout.lanes == LANES {
            self.steps.push(Step::Pointwise(Pointwise {
                input,
                output,
                op: PointOp::Copy,
                activation: Activation::None,
            }));
            return;
        }
        let count = input.layout.shape.iter().product();
        let all = runs(&input.layout, &output.layout, count, Some);
        self.copy(vec![(input, all)], output, false);
    }

    fn copy(&mut self, sources: Vec<(Slot, Vec<Run>)>, output: Slot, clear: bool) {
        self.steps.push(Step::Copy(Copy {
            sources,
            output,
            clear,
        }));
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

    /// Makes the step of an item.
    pub fn item(&mut self, item: &Item) -> Result<(), ExecutorError> {
        let graph = self.graph;
        let node = &graph.nodes()[item.node];
        if let Op::Reshape { .. } = node.op {
            self.elements[node.output.index()] = Element::F32;
            let input = self.numbers_of(node.inputs[0]);
            return self.reshape(node, input);
        }
        let input = match node.op {
            Op::LayerNorm { .. } | Op::Linear { .. } => self.numbers_of(node.inputs[0]),
            _ => self.slot(node.inputs[0]),
        };
        if writes_numbers_only(&node.op) {
            self.elements[item.output.index()] = Element::F32;
        }
        let output = self.target(item.output);
        let activation = item.activation;
        match &node.op {
            Op::Conv {
                weight,
                bias,
                geometry,
            } => self.conv(node, item, [input, output], *weight, *bias, *geometry)?,
            Op::Linear { weight, bias } => {
                let geometry = ConvGeometry::default();
                self.conv(node, item, [input, output], *weight, *bias, geometry)?;
            }
            Op::BatchNorm {
                scale,
                shift,
                mean,
                variance,
                eps,
            } => {
                let numbers = [scale, shift, mean, variance].map(|id| self.numbers(*id));
                let op = self.affine(numbers, *eps);
                self.pointwise(input, output, op, activation);
            }
            Op::LayerNorm { scale, shift, eps } => {
                let [scale, shift] = [scale, shift]
                    .map(|id| self.numbers(*id).to_vec())
                    .map(|numbers| self.store_vector(numbers));
                self.steps.push(Step::LayerNorm(LayerNorm {
                    input,
                    output,
                    scale,
                    shift,
                    eps: *eps,
                    activation,
                }));
            }
            Op::Add => {
                let other = self.slot(node.inputs[1]);
                self.pointwise(input, output, PointOp::Add { other }, activation);
            }
            Op::Mul => self.multiply(node, output, activation),
            Op::MaxPool(window) => {
                let pooling = Pooling::Max;
                self.pool(
                    input,
                    output,
                    pooling,
                    windows(input, output, *window),
                    activation,
                );
            }
            Op::AvgPool(window) => {
                let area = Some(window.kernel[0] * window.kernel[1]);
                let pooling = Pooling::Mean { area };
                self.pool(
                    input,
                    output,
                    pooling,
                    windows(input, output, *window),
                    activation,
                );
            }
            Op::AdaptiveAvgPool { size } => {
                let [_, h, w] = input.layout.shape;
                let parts = |side: usize, out: usize| {
                    let part = |i: usize| [i * side / out, ((i + 1) * side).div_ceil(out)];
                    (0..out).map(part).collect()
                };
                let ranges = [parts(h, size[0]), parts(w, size[1])];
                let pooling = Pooling::Mean { area: None };
                self.pool(input, output, pooling, ranges, activation);
            }
            Op::GlobalAvgPool => {
                let [_, h, w] = input.layout.shape;
                let pooling = Pooling::Mean { area: None };
                self.pool(
                    input,
                    output,
                    pooling,
                    [vec![[0, h]], vec![[0, w]]],
                    activation,
                );
            }
            Op::Concat | Op::Slice { .. } | Op::PadChannels { .. } | Op::Shuffle { .. } => {
                self.moved(node, output);
            }
            op => match fuse::activation(op) {
                Some(function) => self.pointwise(input, output, PointOp::Copy, function),
                None => return Err(unsupported(node, format!("no step for {}", op.kind()))),
            },
        }
        Ok(())
    }

    fn pointwise(&mut self, input: Slot, output: Slot, op: PointOp, activation: Activation) {
        self.steps.push(Step::Pointwise(Pointwise {
            input,
            output,
            op,
            activation,
        }));
    }

    fn pool(
        &mut self,
        input: Slot,
        output: Slot,
        pooling: Pooling,
        [rows, columns]: [Vec<[usize; 2]>; 2],
        activation: Activation,
    ) {
        self.steps.push(Step::Pool(Pool {
            input,
            output,
            pooling,
            rows,
            columns,
            activation,
        }));
    }

    fn affine(&mut self, [scale, shift, mean, variance]: [&[f32]; 4], eps: f64) -> PointOp {
        let (mut factors, mut terms) = (Vec::new(), Vec::new());
        for c in 0..scale.len() {
            let factor = f64::from(scale[c]) / (f64::from(variance[c]) + eps).sqrt();
            factors.push(factor as f32);
            terms.push((f64::from(shift[c]) - f64::from(mean[c]) * factor) as f32);
        }
        PointOp::Affine {
            scale: self.store_vector(factors),
            shift: self.store_vector(terms),
        }
    }

    fn conv(
        &mut self,
        node: &Node,
        item: &Item,
        [input, output]: [Slot; 2],
        weight: WeightId,
        bias: Option<WeightId>,
        geometry: ConvGeometry,
    ) -> Result<(), ExecutorError> {
        let shape = &self.graph.weight(weight).shape;
        let kernel = [2, 3].map(|axis| shape.get(axis).copied().unwrap_or(1));
        if kernel[0] * kernel[1] > Conv::MAX_TAPS {
            let reason = format!(
                "a kernel of {kernel:?} has more than {} taps",
                Conv::MAX_TAPS
            );
            return Err(unsupported(node, reason));
        }
        let bias = match bias {
            Some(id) => self.numbers(id).to_vec(),
            None => vec![0.0; output.layout.shape[0]],
        };
        let mut conv = Conv {
            input,
            output,
            residual: item.residual.map(|value| self.slot(value)),
            kernel,
            stride: geometry.stride,
            padding: geometry.padding,
            dilation: geometry.dilation,
            groups: geometry.groups,
            weight: Words::default(),
            bias: self.store_vector(bias),
            activation: item.activation,
        };
        let numbers = self.numbers(weight);
        if self.is_quantized(node) {
            self.quantized(node, conv, numbers);
        } else if conv.is_depthwise() {
            conv.weight = self.store(&conv.pack_depthwise(numbers));
            self.steps.push(Step::Depthwise(conv));
        } else if self.suits_winograd(&conv) {
            conv.weight = self.store(&conv.pack_winograd(numbers));
            self.steps.push(Step::Winograd(conv));
        } else {
            conv.input = self.numbers_of(node.inputs[0]);
            conv.weight = self.store(&conv.pack(numbers));
            self.steps.push(Step::Direct(conv));
        }
        Ok(())
    }

    /// Whether a convolution computes with bytes: where ranges are known, see [`elements`].
    fn is_quantized(&self, node: &Node) -> bool {
        let bytes = self.bytes[node.inputs[0].index()] != Element::F32;
        bytes && may_be_quantized(self.graph, node)
    }

    fn quantized(&mut self, node: &Node, mut conv: Conv, weight: &[f32]) {
        let element = self.bytes[node.inputs[0].index()];
        if conv.input.layout.element != element {
            conv.input = self.twin(node.inputs[0], conv.input, element);
        }
        let Element::U8 { scale, zero } = element else {
            unreachable!("a convolution of bytes without bytes");
        };
        let outputs = conv.output.layout.shape[0];
        let rounded = ByteWeights::new(weight, outputs);
        let scales: Vec<f32> = rounded.scales.iter().map(|t| t * scale).collect();
        let bias = &mut self.weights[conv.bias.start..][..outputs];
        for ((bias, scale), sum) in bias.iter_mut().zip(&scales).zip(&rounded.sums) {
            *bias -= scale * f32::from(zero) * *sum as f32;
        }
        conv.weight = self.store(&Quantized::pack(&conv, &rounded.bytes));
        let scale = self.store_vector(scales);
        self.steps.push(Step::Quantized(Quantized { conv, scale }));
    }

    fn suits_winograd(&self, conv: &Conv) -> bool {
        let [c_in, c_out] = [conv.input.layout.shape[0], conv.output.layout.shape[0]];
        let [_, h, w] = conv.output.layout.shape;
        conv.is_winograd()
            && c_in.min(c_out) >= WINOGRAD_CHANNELS
            && (self.winograd).is_some_and(|batch| batch * h * w >= WINOGRAD_OUTPUTS)
    }

    /// A product; where both factors are repeated the second is written out first.
    fn multiply(&mut self, node: &Node, output: Slot, activation: Activation) {
        let shape = |value: Value| self.graph.shape(value);
        let whole = shape(node.output);
        let [mut first, mut second] = [0, 1].map(|i| self.slot(node.inputs[i]));
        if shape(node.inputs[0]) != whole && shape(node.inputs[1]) == whole {
            std::mem::swap(&mut first, &mut second);
        } else if shape(node.inputs[0]) != whole {
            first = self.repeat(node.inputs[0], node.output);
        }
        let axes = second.layout.shape.iter().zip(first.layout.shape);
        if !axes.into_iter().all(|(&o, s)| o == 1 || o == s) {
            let value = if first.layout.shape == shape3(shape(node.inputs[0])) {
                node.inputs[1]
            } else {
                node.inputs[0]
            };
            second = self.repeat(value, node.output);
        }
        self.pointwise(first, output, PointOp::Mul { other: second }, activation);
    }

    /// A value whose axes of size 1 are repeated to the shape of another.
    fn repeat(&mut self, value: Value, like: Value) -> Slot {
        let (from, to) = (self.graph.shape(value), self.graph.shape(like));
        let source = |index: usize| {
            let mut rest = index;
            let (mut at, mut step) = (0, 1);
            for (axis, &size) in to.iter().enumerate().rev() {
                at += rest % size % from[axis] * step;
                step *= from[axis];
                rest /= size;
            }
            Some(at)
        };
        let input = self.numbers_of(value);
        let output = self.fresh(Layout::blocked(shape3(to), 0));
        let count = to.iter().product();
        let runs = runs(&input.layout, &output.layout, count, source);
        self.copy(vec![(input, runs)], output, false);
        output
    }

    /// The same memory where the order of numbers in it stays, else a copy.
    fn reshape(&mut self, node: &Node, input: Slot) -> Result<(), ExecutorError> {
        let layout = self.layout(node.output);
        if layout == input.layout {
            self.slots[node.output.index()] = Some(input);
            return Ok(());
        }
        let output = self.target(node.output);
        let count = layout.shape.iter().product();
        let runs = runs(&input.layout, &layout, count, Some);
        self.copy(vec![(input, runs)], output, false);
        Ok(())
    }

    /// Operations that move numbers.
    fn moved(&mut self, node: &Node, output: Slot) {
        let to = &output.layout;
        let shape = self.graph.shape(node.inputs[0]).to_vec();
        let count = self.graph.shape(node.output).iter().product();
        let inner: usize = shape.get(1..).unwrap_or_default().iter().product();
        let mut sources = Vec::new();
        let mut first = 0;
        for &value in &node.inputs {
            let input = self.numbers_of(value);
            let size: usize = self.graph.shape(value).iter().product();
            let found = runs(&input.layout, to, count, |i| match node.op {
                Op::Slice {
                    axis, start, step, ..
                } => {
                    let sizes = self.graph.shape(node.output);
                    let below: usize = sizes[axis + 1..].iter().product();
                    let (outer, at) = (i / below / sizes[axis], i / below % sizes[axis]);
                    Some((outer * shape[axis] + start + at * step) * below + i % below)
                }
                Op::Shuffle { groups } => {
                    let out = i / inner;
                    let channel = out % groups * (shape[0] / groups) + out / groups;
                    Some(channel * inner + i % inner)
                }
                Op::PadChannels { before, .. } => {
                    i.checked_sub(before * inner).filter(|&at| at < size)
                }
                _ => i.checked_sub(first).filter(|&at| at < size),
            });
            sources.push((input, found));
            first += size;
        }
        let clear = matches!(node.op, Op::PadChannels { .. });
        self.copy(sources, output, clear);
    }
}

fn unsupported(node: &Node, reason: String) -> ExecutorError {
    ExecutorError::Unsupported {
        node: node.name.clone(),
        reason,
    }
}

/// Whether a node may compute with bytes: an ungrouped convolution of more channels than an image has.
fn may_be_quantized(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Conv { geometry, .. } => {
            geometry.groups == 1 && graph.shape(node.inputs[0])[0] >= LANES
        }
        _ => false,
    }
}

/// Whether an operation's step moves or makes `f32` alone.
pub(crate) fn writes_numbers_only(op: &Op) -> bool {
    matches!(
        op,
        Op::Concat
            | Op::Slice { .. }
            | Op::PadChannels { .. }
            | Op::Shuffle { .. }
            | Op::Reshape { .. }
            | Op::LayerNorm { .. }
    )
}

/// What each value is stored as: in bytes where a convolution of bytes reads it.
pub(crate) fn elements(graph: &Graph, calibration: &Calibration) -> Vec<Element> {
    let mut elements = vec![Element::F32; graph.num_values()];
    for node in graph.nodes() {
        if may_be_quantized(graph, node)
            && let Some(element) = calibration.element(node.inputs[0])
        {
            elements[node.inputs[0].index()] = element;
        }
    }
    elements
}

/// For each value the border that its readers need, so that no window leaves it.
pub(crate) fn borders(graph: &Graph) -> Vec<usize> {
    let mut borders = vec![0; graph.num_values()];
    for node in graph.nodes() {
        if let Op::Conv {
            weight, geometry, ..
        } = &node.op
        {
            let kernel = &graph.weight(*weight).shape[2..];
            let (input, output) = (graph.shape(node.inputs[0]), graph.shape(node.output));
            for axis in 0..2 {
                let padding = geometry.padding[axis];
                let last = (output[axis + 1] - 1) * geometry.stride[axis]
                    + (kernel[axis] - 1) * geometry.dilation[axis];
                let beyond = (last + 1).saturating_sub(input[axis + 1] + padding);
                let border = &mut borders[node.inputs[0].index()];
                *border = (*border).max(padding).max(beyond);
            }
        }
    }
    borders
}

/// The rows and columns of pooling windows that lie inside the map.
fn windows(input: Slot, output: Slot, window: Window) -> [Vec<[usize; 2]>; 2] {
    [0, 1].map(|axis| {
        let side = input.layout.shape[axis + 1];
        let range = |i: usize| {
            let from = i * window.stride[axis];
            let until = (from + window.kernel[axis]).saturating_sub(window.padding[axis]);
            let from = from.saturating_sub(window.padding[axis]);
            [from.min(side), until.min(side)]
        };
        (0..output.layout.shape[axis + 1]).map(range).collect()
    })
}
