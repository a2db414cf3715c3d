//! Softmax cross-entropy on tensors.

use burn::backend::flex::FlexTensor;

use super::tensor::{dense, values};
use offramp_cpu::cross_entropy;
use offramp_cpu::memory::Buffer;

/// The loss of every row, and what the backward pass needs.
pub(crate) struct Loss {
    pub loss: FlexTensor,
    pub softmax: FlexTensor,
    pub targets: Vec<i64>,
}

/// `-log softmax(logits)[target]` of every row.
pub(crate) fn forward(logits: &FlexTensor, targets: FlexTensor) -> Loss {
    let targets: Vec<i64> = targets.into_data().iter::<i64>().collect();
    let shape: [usize; 2] = std::array::from_fn(|axis| logits.layout().shape()[axis]);
    let mut softmax = Buffer::new(shape[0] * shape[1]);
    let mut loss = Buffer::new(shape[0]);
    cross_entropy::forward(&values(logits), &targets, &mut softmax, &mut loss);
    Loss {
        loss: dense(loss, [shape[0]]),
        softmax: dense(softmax, shape),
        targets,
    }
}

/// The gradient in the logits from the gradient `dloss` in the losses.
pub(crate) fn backward(softmax: &FlexTensor, targets: &[i64], dloss: &FlexTensor) -> FlexTensor {
    let shape: [usize; 2] = std::array::from_fn(|axis| softmax.layout().shape()[axis]);
    let mut dlogits = Buffer::new(shape[0] * shape[1]);
    cross_entropy::backward(&values(softmax), targets, &values(dloss), &mut dlogits);
    dense(dlogits, shape)
}
