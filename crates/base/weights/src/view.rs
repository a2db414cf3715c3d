//! A tensor as a strided look at a storage.

use std::ops::Range;
use std::sync::Arc;

use crate::Dtype;

/// Dimensions that a tensor may have; weights have at most five.
pub(crate) const MAX_DIMS: usize = 8;

/// Which elements of a storage a tensor consists of: element `[i, j, ..]` is the one at
/// `offset + i * strides[0] + j * strides[1] + ..`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    pub dtype: Dtype,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

impl View {
    /// A tensor that is its whole storage, row by row. `None` when its size overflows.
    pub(crate) fn contiguous(dtype: Dtype, shape: Vec<usize>) -> Option<Self> {
        let mut strides = vec![1; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = shape[i].checked_mul(strides[i])?;
        }
        Some(Self {
            dtype,
            offset: 0,
            shape,
            strides,
        })
    }

    /// Checks that the view lies within `elements` elements and, where it repeats
    /// elements, has no more than its storage.
    pub(crate) fn check(&self, elements: usize) -> Result<(), String> {
        let Self {
            offset,
            shape,
            strides,
            ..
        } = self;
        if shape.len() != strides.len() || shape.len() > MAX_DIMS {
            return Err(format!(
                "{} sizes and {} strides; at most {MAX_DIMS}, of each the same number, are read",
                shape.len(),
                strides.len()
            ));
        }
        if shape.contains(&0) {
            return Ok(());
        }
        let count = shape
            .iter()
            .try_fold(1usize, |n, &size| n.checked_mul(size));
        let end = shape
            .iter()
            .zip(strides)
            .try_fold(*offset, |end, (&size, &stride)| {
                end.checked_add((size - 1).checked_mul(stride)?)
            });
        match (count, end) {
            (Some(count), Some(end)) if count <= elements && end < elements => Ok(()),
            _ => Err(format!(
                "shape {shape:?} with strides {strides:?} from element {offset} does not fit into \
                 a storage of {elements} elements"
            )),
        }
    }

    /// Copies the elements out of the bytes of a storage that [`View::check`] was asked about.
    pub(crate) fn read(&self, storage: &[u8]) -> Vec<f32> {
        let mut values = Vec::new();
        if !self.shape.contains(&0) {
            values.reserve(self.shape.iter().product());
            self.read_dimension(0, self.offset, storage, &mut values);
        }
        values
    }

    fn read_dimension(&self, dim: usize, at: usize, storage: &[u8], values: &mut Vec<f32>) {
        let Some((&size, &stride)) = self.shape.get(dim).zip(self.strides.get(dim)) else {
            values.push(self.dtype.element(storage, at));
            return;
        };
        for i in 0..size {
            self.read_dimension(dim + 1, at + i * stride, storage, values);
        }
    }
}

/// Bytes of a file, and the sum that is recorded for them where there is one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    pub name: Arc<str>,
    pub bytes: Range<usize>,
    pub crc32: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> View {
        View {
            dtype: Dtype::U8,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        }
    }

    #[test]
    fn strides_are_followed() {
        let storage: Vec<u8> = (0..10).collect();
        // numpy.arange(10)[1:7].reshape(2, 3).T
        let transposed = view(1, &[3, 2], &[1, 3]);
        transposed.check(10).unwrap();
        assert_eq!(transposed.read(&storage), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(view(7, &[], &[]).read(&storage), [7.0]);
        assert!(view(0, &[0, 3], &[3, 1]).read(&storage).is_empty());
    }

    #[test]
    fn what_lies_outside_of_its_storage_is_refused() {
        for (offset, shape, strides) in [
            (0, vec![11], vec![1]),
            (5, vec![6], vec![1]),
            (0, vec![2, 2], vec![9, 1]),
            (0, vec![1 << 40, 1 << 40], vec![0, 0]),
            (0, vec![2, 2], vec![usize::MAX, 1]),
            (0, vec![20], vec![0]),
            (usize::MAX, vec![2], vec![1]),
            (0, vec![1; 9], vec![1; 9]),
            (0, vec![1, 1], vec![1]),
        ] {
            assert!(
                view(offset, &shape, &strides).check(10).is_err(),
                "{shape:?}"
            );
        }
        view(0, &[1 << 40, 0], &[1, 1]).check(10).unwrap();
    }
}
