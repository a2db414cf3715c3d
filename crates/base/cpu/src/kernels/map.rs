//! A strided view of a feature map.

use crate::simd::LANES;

/// A read-only `[N, C, H, W]` view: element `(n, c, y, x)` lies at `n*s0 + c*s1 + y*s2 + x*s3`.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    data: &'a [f32],
    shape: [usize; 4],
    strides: [usize; 4],
}

impl<'a> Map<'a> {
    /// A view of `data`.
    ///
    /// # Panics
    /// If the farthest element lies outside `data`; kernels rely on this check.
    pub fn new(data: &'a [f32], shape: [usize; 4], strides: [usize; 4]) -> Self {
        if shape.iter().all(|&d| d > 0) {
            let last: usize = shape.iter().zip(strides).map(|(d, s)| (d - 1) * s).sum();
            assert!(
                last < data.len(),
                "a map of shape {shape:?} and strides {strides:?} needs {} values, its storage has {}",
                last + 1,
                data.len()
            );
        }
        Self {
            data,
            shape,
            strides,
        }
    }

    /// A view of dense channels-last data, `[N, H, W, C]` in memory.
    pub fn channels_last(data: &'a [f32], shape: [usize; 4]) -> Self {
        Self::new(data, shape, channels_last_strides(shape))
    }

    /// `[N, C, H, W]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The channels `first..first + count`.
    pub fn channels(&self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.shape[1], "channels out of range");
        let [n, _, h, w] = self.shape;
        Self {
            data: &self.data[first * self.strides[1]..],
            shape: [n, count, h, w],
            strides: self.strides,
        }
    }

    /// The data as `[N*H*W, C]` rows if it lies so in memory.
    pub fn rows(&self) -> Option<&'a [f32]> {
        let len = self.shape.iter().product();
        is_channels_last(self.shape, self.strides).then(|| &self.data[..len])
    }

    /// The first element of position `(y, x)` of image `n`.
    #[inline(always)]
    pub fn offset(&self, n: usize, y: usize, x: usize) -> usize {
        n * self.strides[0] + y * self.strides[2] + x * self.strides[3]
    }

    /// Copies the sixteen channels of `block` at columns `x, x + step, ..` of row `y`
    /// into `count` consecutive sixteen-lane cells; channels beyond the last are left alone.
    #[inline(always)]
    pub fn copy_row(
        &self,
        [n, y, x]: [usize; 3],
        step: usize,
        count: usize,
        block: usize,
        cells: &mut [f32],
    ) {
        if count == 0 {
            return;
        }
        let [_, stride_c, _, stride_x] = self.strides;
        let first = block * LANES;
        let lanes = LANES.min(self.shape[1] - first);
        let jump = step * stride_x;
        let src = &self.data[self.offset(n, y, x) + first * stride_c..];
        let cells = &mut cells[..count * LANES];
        if stride_c == 1 && lanes == LANES {
            if jump == LANES {
                cells.copy_from_slice(&src[..count * LANES]);
                return;
            }
            for (i, cell) in cells.chunks_exact_mut(LANES).enumerate() {
                cell.copy_from_slice(&src[i * jump..i * jump + LANES]);
            }
        } else {
            for (i, cell) in cells.chunks_exact_mut(LANES).enumerate() {
                for (c, value) in cell[..lanes].iter_mut().enumerate() {
                    *value = src[i * jump + c * stride_c];
                }
            }
        }
    }

    /// The whole map as dense channels-last values.
    pub fn to_channels_last(self, out: &mut [f32]) {
        let [n, c, h, w] = self.shape;
        if let Some(rows) = self.rows() {
            out.copy_from_slice(rows);
            return;
        }
        let [_, stride_c, _, stride_x] = self.strides;
        for (row, out) in out.chunks_exact_mut((w * c).max(1)).enumerate().take(n * h) {
            let src = &self.data[self.offset(row / h, row % h, 0)..];
            for (x, out) in out.chunks_exact_mut(c).enumerate() {
                for (ch, value) in out.iter_mut().enumerate() {
                    *value = src[x * stride_x + ch * stride_c];
                }
            }
        }
    }
}

/// Strides over `[N, C, H, W]` of dense channels-last data.
pub fn channels_last_strides([_, c, h, w]: [usize; 4]) -> [usize; 4] {
    [h * w * c, 1, w * c, c]
}

/// Whether the strides are those of dense channels-last data; strides of axes of length 1 are free.
pub fn is_channels_last(shape: [usize; 4], strides: [usize; 4]) -> bool {
    shape
        .iter()
        .zip(strides)
        .zip(channels_last_strides(shape))
        .all(|((&d, s), expected)| d <= 1 || s == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_last_copy_of_a_planar_map() {
        let shape = [2, 3, 2, 2];
        let data: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let map = Map::new(&data, shape, [12, 4, 2, 1]);
        let mut out = vec![0.0; 24];
        map.to_channels_last(&mut out);
        assert_eq!(out[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(out[12..15], [12.0, 16.0, 20.0]);
        assert!(map.rows().is_none());
        assert_eq!(Map::channels_last(&out, shape).rows(), Some(&out[..]));
    }

    #[test]
    #[should_panic(expected = "needs 24 values")]
    fn short_storage_is_refused() {
        Map::new(&[0.0; 23], [2, 3, 2, 2], [12, 4, 2, 1]);
    }

    #[test]
    fn axes_of_length_one_have_free_strides() {
        assert!(is_channels_last([1, 4, 1, 5], [7, 1, 9, 4]));
        assert!(!is_channels_last([2, 4, 1, 5], [7, 1, 9, 4]));
    }
}
