//! Between tensors of `flex` and what kernels work on.

use std::borrow::Cow;
use std::ops::Deref;

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape};

use crate::Replica;
use offramp_cpu::elementwise::{add_assign, scale};
use offramp_cpu::map::{Map, channels_last_strides, is_channels_last};
use offramp_cpu::memory::Buffer;

/// Shape of a tensor of four axes.
pub(crate) fn shape4(tensor: &FlexTensor) -> [usize; 4] {
    std::array::from_fn(|axis| tensor.layout().shape()[axis])
}

/// Strides of a tensor of four axes, or none if an axis runs backwards.
fn strides4(tensor: &FlexTensor) -> Option<[usize; 4]> {
    let mut strides = [0; 4];
    for (to, &from) in strides.iter_mut().zip(tensor.layout().strides()) {
        *to = usize::try_from(from).ok()?;
    }
    Some(strides)
}

/// A tensor that kernels can read: no axis runs backwards.
pub(crate) fn readable(tensor: &FlexTensor) -> FlexTensor {
    match strides4(tensor) {
        Some(_) => tensor.clone(),
        None => tensor.to_contiguous(),
    }
}

/// The feature map of a [`readable`] tensor.
pub(crate) fn map(tensor: &FlexTensor) -> Map<'_> {
    let strides = strides4(tensor).unwrap_or_else(|| unreachable!("the tensor is readable"));
    let start = tensor.layout().start_offset();
    Map::new(&tensor.storage::<f32>()[start..], shape4(tensor), strides)
}

/// Values that are borrowed from a tensor or were gathered from it.
pub(crate) enum Rows<'a> {
    /// The tensor holds them in this order.
    Borrowed(&'a [f32]),
    /// A copy in channels-last order.
    Copied(Buffer),
}

impl Deref for Rows<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Borrowed(rows) => rows,
            Self::Copied(rows) => rows,
        }
    }
}

/// The values of a [`readable`] tensor as dense channels-last rows, copied only if need be.
pub(crate) fn rows(tensor: &FlexTensor) -> Rows<'_> {
    let map = map(tensor);
    if let Some(rows) = map.rows() {
        return Rows::Borrowed(rows);
    }
    let mut copy = Buffer::new(map.shape().iter().product());
    map.to_channels_last(&mut copy);
    Rows::Copied(copy)
}

/// The rows of a tensor that is not shared, to be overwritten, if they lie in channels-last order.
pub(crate) fn rows_mut(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let shape = shape4(tensor);
    let start = tensor.layout().start_offset();
    let len: usize = shape.iter().product();
    if !is_channels_last(shape, strides4(tensor)?) {
        return None;
    }
    tensor
        .try_storage_mut::<f32>()
        .map(|values| &mut values[start..start + len])
}

/// The values of a tensor in row-major order, copied only if need be.
pub(crate) fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => {
            let dense = tensor.to_contiguous();
            Cow::Owned(dense.as_slice::<f32>().unwrap_or_default().to_vec())
        }
    }
}

/// Dense channels-last values as a tensor `[N, C, H, W]`.
pub(crate) fn channels_last(rows: Buffer, shape: [usize; 4]) -> FlexTensor {
    let strides = channels_last_strides(shape).map(|s| s as isize).to_vec();
    let layout = Layout::new(Shape::from(shape), strides, 0);
    FlexTensor::new(super::storage::bytes(rows), layout, DType::F32)
}

/// Row-major values as a tensor.
pub(crate) fn dense<const D: usize>(values: Buffer, shape: [usize; D]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(shape));
    FlexTensor::new(super::storage::bytes(values), layout, DType::F32)
}

/// The mean over replicas, row-major.
pub(crate) fn replica_mean(x: &FlexTensor, replica: &Replica) -> FlexTensor {
    let mean = replica.mean_here(values(x).into_owned());
    copied(&mean, x.layout().shape().clone())
}

/// A vector as a tensor.
pub(crate) fn vector(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::from([values.len()]);
    copied(&values, shape)
}

/// Row-major values as a tensor, in memory of the kernels.
fn copied(values: &[f32], shape: Shape) -> FlexTensor {
    let mut buffer = Buffer::new(values.len());
    buffer.copy_from_slice(values);
    FlexTensor::new(
        super::storage::bytes(buffer),
        Layout::contiguous(shape),
        DType::F32,
    )
}

/// `factor * value`, in place if it is not shared.
pub(crate) fn scale_rows(mut value: FlexTensor, factor: f32) -> FlexTensor {
    if let Some(to) = rows_mut(&mut value) {
        scale(to, factor);
        return value;
    }
    let shape = shape4(&value);
    let mut out = Buffer::new(shape.iter().product());
    out.copy_from_slice(&rows(&readable(&value)));
    scale(&mut out, factor);
    channels_last(out, shape)
}

/// `value + sum`, in place in one of them that is not shared.
pub(crate) fn add_rows(mut value: FlexTensor, sum: Option<FlexTensor>) -> FlexTensor {
    let Some(mut sum) = sum else {
        return value;
    };
    if let Some(to) = rows_mut(&mut sum) {
        add_assign(to, &rows(&readable(&value)));
        return sum;
    }
    if let Some(to) = rows_mut(&mut value) {
        add_assign(to, &rows(&readable(&sum)));
        return value;
    }
    let shape = shape4(&value);
    let mut out = Buffer::new(shape.iter().product());
    out.copy_from_slice(&rows(&readable(&value)));
    add_assign(&mut out, &rows(&readable(&sum)));
    channels_last(out, shape)
}
