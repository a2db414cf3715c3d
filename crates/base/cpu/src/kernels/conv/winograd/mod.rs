//! 3x3 convolutions of stride 1 by Winograd's minimal filtering.
//!
//! `F(2x2, 3x3)` computes a tile of 2x2 outputs from a tile of 4x4 inputs with 16 products where the
//! definition takes 36 (Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin and Gray,
//! *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016). With the matrices of
//! [`transform`], summed over input channels,
//!
//! ```text
//! y  = A^T [ (G g G^T) . (B^T d B) ] A        d 4x4 inputs, g 3x3 weights, y 2x2 outputs
//! dg = G^T [ (A dy A^T) . (B^T d B) ] G       summed over tiles
//! ```
//!
//! where `.` is the product of entries: one matrix product over channels (or tiles) for each of the
//! 16 entries. The second line is the first one's transpose, so it is exact too.
//!
//! The transforms add and halve, nothing else, so the error stays near that of the definition; the
//! tests hold both to the same bound. Larger tiles save more products and lose digits.

mod correlate;
pub(crate) mod transform;
mod weight_gradient;

use super::geometry::Correlation;
use crate::kernels::map::Map;
use crate::simd::{LANES, Simd};

pub(super) use correlate::correlate;
pub(super) use weight_gradient::weight_gradient;

/// Entries of a transformed tile.
const ENTRIES: usize = 16;

/// Channels from which the saved products outweigh the transforms.
const CHANNELS: usize = 32;

/// Outputs, over all images, from which they outweigh the transform of the weights.
const OUTPUTS: usize = 384;

/// Whether a correlation is of the right kind and large enough.
pub(super) fn suits(correlation: &Correlation, input: Map, outputs: usize) -> bool {
    let [images, inputs, _, _] = input.shape();
    let [rows, columns] = correlation.out;
    let mut taps = [false; 9];
    for tap in &correlation.taps {
        let [y, x] = tap.offset;
        if y < 3 && x < 3 {
            taps[y * 3 + x] = true;
        }
    }
    correlation.taps.len() == 9
        && taps == [true; 9]
        && correlation.step == [1, 1]
        && correlation.spread == [1, 1]
        && inputs.is_multiple_of(LANES)
        && outputs.is_multiple_of(LANES)
        && inputs.min(outputs) >= CHANNELS
        && images * rows * columns >= OUTPUTS
        && input.rows().is_some()
}

/// Stands for a position outside the map.
const PADDING: usize = usize::MAX;

/// The tiles of a batch, numbered image by image and row by row.
#[derive(Clone, Copy)]
struct Tiles {
    images: usize,
    /// Outputs, `[rows, columns]`.
    out: [usize; 2],
    /// Inputs, `[rows, columns]`.
    input: [usize; 2],
    /// Zeros above and left of the input.
    pad: [isize; 2],
}

impl Tiles {
    fn new(correlation: &Correlation, input: Map) -> Self {
        let [images, _, height, width] = input.shape();
        Self {
            images,
            out: correlation.out,
            input: [height, width],
            pad: correlation.pad,
        }
    }

    fn grid(&self) -> [usize; 2] {
        self.out.map(|size| size.div_ceil(2))
    }

    fn count(&self) -> usize {
        let [rows, columns] = self.grid();
        self.images * rows * columns
    }

    /// Image, and place of the first output.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 3] {
        let [rows, columns] = self.grid();
        let (row, x) = (tile / columns, tile % columns);
        [row / rows, row % rows * 2, x * 2]
    }

    /// Positions of the tile's 4x4 inputs, counted over the batch, or [`PADDING`].
    #[inline(always)]
    fn inputs(&self, tile: usize) -> [usize; ENTRIES] {
        let [image, y, x] = self.place(tile);
        let [height, width] = self.input;
        let mut positions = [PADDING; ENTRIES];
        for (i, position) in positions.iter_mut().enumerate() {
            let y = (y + i / 4) as isize - self.pad[0];
            let x = (x + i % 4) as isize - self.pad[1];
            if y >= 0 && y < height as isize && x >= 0 && x < width as isize {
                *position = (image * height + y as usize) * width + x as usize;
            }
        }
        positions
    }

    /// Positions of the tile's 2x2 outputs, counted over the batch; [`PADDING`] beyond the edge.
    #[inline(always)]
    fn outputs(&self, tile: usize) -> [usize; 4] {
        let [image, y, x] = self.place(tile);
        let [height, width] = self.out;
        let mut positions = [PADDING; 4];
        for (i, position) in positions.iter_mut().enumerate() {
            let (y, x) = (y + i / 2, x + i % 2);
            if y < height && x < width {
                *position = (image * height + y) * width + x;
            }
        }
        positions
    }
}

/// Tiles whose input positions are found at a time.
const RUN: usize = 8;

/// Transforms the inputs of the tiles `first..first + count`: entry `e` of channel block `b` of tile
/// `first + i` goes to `out + e * entry_stride + b * block_stride + i * 16`.
///
/// # Safety
/// `source` is readable at `position * channels .. + channels`, whole vectors, for every input
/// position of the tiles, and `out` writable at the places named, without other access meanwhile.
#[inline(always)]
unsafe fn transform_inputs<S: Simd>(
    s: S,
    tiles: &Tiles,
    [first, count]: [usize; 2],
    (source, channels): (*const f32, usize),
    out: *mut f32,
    [entry_stride, block_stride]: [usize; 2],
) {
    let mut positions = [[PADDING; ENTRIES]; RUN];
    for start in (0..count).step_by(RUN) {
        let run = RUN.min(count - start);
        for i in 0..run {
            positions[i] = tiles.inputs(first + start + i);
        }
        for block in 0..channels / LANES {
            for i in 0..run {
                let mut d = [s.splat(0.0); ENTRIES];
                for e in 0..ENTRIES {
                    let position = positions[i][e];
                    if position != PADDING {
                        // SAFETY: as the caller vouches.
                        d[e] = unsafe { s.load(source.add(position * channels + block * LANES)) };
                    }
                }
                let entries = transform::input(s, d);
                for e in 0..ENTRIES {
                    let at = e * entry_stride + block * block_stride + (start + i) * LANES;
                    // SAFETY: as the caller vouches.
                    unsafe { s.store(out.add(at), entries[e / 4][e % 4]) };
                }
            }
        }
    }
}
