//! Convolutions: which step computes one, and its weights in that step's order.

use offramp_cpu::program::{ByteWeights, Conv, Element, Quantized, Step, Value as Slot, Words};
use offramp_graph::{ConvGeometry, Node, WeightId};

use super::values::may_be_quantized;
use super::{Lowering, unsupported};
use crate::ExecutorError;
use crate::fuse::Item;

/// Channels from which Winograd's filtering saves more than its transforms cost.
const WINOGRAD_CHANNELS: usize = 32;

/// Outputs of a thread's images from which its larger weights are worth reading.
const WINOGRAD_OUTPUTS: usize = 128;

impl Lowering<'_> {
    pub(super) fn conv(
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

    /// Whether a convolution computes with bytes: where ranges are known, see [`elements`](super::elements).
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
}
