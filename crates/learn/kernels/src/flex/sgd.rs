//! The update of stochastic gradient descent on tensors.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::DType;

use super::storage::bytes;
use super::tensor::values;
use crate::SgdOptions;
use offramp_cpu::memory::Buffer;
use offramp_cpu::sgd::{Step, update};

/// A row-major tensor that is not shared, with the values of `tensor`.
fn owned(mut tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.as_slice::<f32>().map(<[f32]>::len) == Some(tensor.storage::<f32>().len());
    if whole && tensor.try_storage_mut::<f32>().is_some() {
        return tensor;
    }
    let values = values(&tensor);
    let mut copy = Buffer::new(values.len());
    copy.copy_from_slice(&values);
    filled(copy, &tensor)
}

fn filled(values: Buffer, like: &FlexTensor) -> FlexTensor {
    let layout = Layout::contiguous(like.layout().shape().clone());
    FlexTensor::new(bytes(values), layout, DType::F32)
}

/// The new weight and velocity; a missing velocity is zero.
pub(super) fn step(
    weight: FlexTensor,
    gradient: &FlexTensor,
    velocity: Option<FlexTensor>,
    options: SgdOptions,
) -> (FlexTensor, FlexTensor) {
    let gradient = values(gradient);
    let mut velocity = match velocity {
        Some(velocity) => owned(velocity),
        None => filled(Buffer::zeroed(gradient.len()), &weight),
    };
    let mut weight = owned(weight);
    let step = Step {
        rate: options.learning_rate as f32,
        momentum: options.momentum as f32,
        decay: options.weight_decay as f32,
        nesterov: options.nesterov,
    };
    update(
        step,
        &gradient,
        weight.storage_mut::<f32>(),
        velocity.storage_mut::<f32>(),
    );
    (weight, velocity)
}
