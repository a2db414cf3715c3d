//! Constants and attributes.

use super::proto::{AttributeProto, TensorProto, attribute_type, data_type};

/// The matrix `[out, side]` that takes the means of adaptive pooling.
pub(super) fn means(out: usize, side: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; out * side];
    for i in 0..out {
        let range = i * side / out..((i + 1) * side).div_ceil(out);
        let share = 1.0 / range.len() as f32;
        matrix[i * side..][range].fill(share);
    }
    matrix
}

pub(super) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let column = |j: usize| matrix.iter().skip(j).step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}

pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|side| *side as i64).collect(),
        data_type: data_type::FLOAT,
        name: name.to_owned(),
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    }
}

/// A list of integers as a constant.
pub(super) fn numbers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: data_type::INT64,
        name: name.to_owned(),
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind,
        ..AttributeProto::default()
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..attribute(name, attribute_type::INT)
    }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, attribute_type::FLOAT)
    }
}

pub(super) fn ints<T: Copy + TryInto<i64>>(name: &str, values: &[T]) -> AttributeProto {
    AttributeProto {
        // Sides of windows are far below 2^63.
        ints: values
            .iter()
            .filter_map(|value| (*value).try_into().ok())
            .collect(),
        ..attribute(name, attribute_type::INTS)
    }
}
