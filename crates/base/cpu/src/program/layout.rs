//! How the numbers of a value lie in memory.

use serde::{Deserialize, Serialize};

use super::check::MOST_WORDS;
use crate::simd::{LANES, Simd};

/// What a number is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Element {
    /// 32-bit floating point.
    F32,
    /// One byte `q` that stands for `scale * (q - zero)`.
    U8 {
        /// The step between neighbouring numbers.
        scale: f32,
        /// The byte that stands for 0.
        zero: u8,
    },
}

/// A map `[C, H, W]` of one image, in blocks of channels, with a border that reads as zero.
///
/// Channel `c` of position `(y, x)` is number
///
/// ```text
/// ((c / lanes * (H + 2 border) + y + border) * (W + 2 border) + x + border) * lanes + c % lanes
/// ```
///
/// `lanes` is 16, a *cell* of sixteen channels being one vector (the unused ones of the last block
/// hold anything), or 1: with no border that is row-major order. Every image of a batch has its own
/// copy of this, one after the other. A vector `[D]` is the map `[D, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// `[C, H, W]`.
    pub shape: [usize; 3],
    /// Positions of zeros around every channel.
    pub border: usize,
    /// Channels of a cell, 16 or 1.
    pub lanes: usize,
    /// What a number is stored as; bytes have 16 lanes.
    pub element: Element,
}

impl Layout {
    /// Row-major `f32`.
    pub fn plain(shape: [usize; 3]) -> Self {
        Self {
            shape,
            border: 0,
            lanes: 1,
            element: Element::F32,
        }
    }

    /// Cells of sixteen channels of `f32`.
    pub fn blocked(shape: [usize; 3], border: usize) -> Self {
        Self {
            shape,
            border,
            lanes: LANES,
            element: Element::F32,
        }
    }

    /// The same with numbers stored as `element`.
    pub fn of(self, element: Element) -> Self {
        Self { element, ..self }
    }

    /// Blocks of channels.
    pub fn blocks(&self) -> usize {
        self.shape[0].div_ceil(self.lanes.max(1))
    }

    /// 32-bit words of a cell.
    pub fn cell(&self) -> usize {
        match self.element {
            Element::F32 => self.lanes,
            Element::U8 { .. } => self.lanes / 4,
        }
    }

    /// Words from a row to the next.
    pub fn row(&self) -> usize {
        (self.shape[2] + 2 * self.border) * self.cell()
    }

    /// Words from a block of channels to the next.
    pub fn block(&self) -> usize {
        (self.shape[1] + 2 * self.border) * self.row()
    }

    /// Words of an image.
    pub fn words(&self) -> usize {
        self.blocks() * self.block()
    }

    /// Word of the cell of block 0 at position `(y, x)`, which may lie in the border.
    pub fn at(&self, y: isize, x: isize) -> usize {
        let border = self.border as isize;
        ((y + border) * self.row() as isize + (x + border) * self.cell() as isize) as usize
    }

    /// Number `index` in row-major order, as a word; `f32` only.
    pub fn place(&self, index: usize) -> usize {
        let [_, h, w] = self.shape;
        let (c, y, x) = (index / (h * w), index / w % h, index % w);
        c / self.lanes * self.block() + self.at(y as isize, x as isize) + c % self.lanes
    }

    /// The same with checked arithmetic: none if its size cannot be stated or a field is wrong.
    pub(crate) fn checked_words(&self) -> Option<usize> {
        let lanes_fit = match self.element {
            Element::F32 => self.lanes == 1 || self.lanes == LANES,
            Element::U8 { scale, .. } => self.lanes == LANES && scale.is_finite() && scale > 0.0,
        };
        let [c, h, w] = self.shape;
        let side = |n: usize| n.checked_add(self.border.checked_mul(2)?);
        let words = (self.lanes_or_none(lanes_fit)?)
            .checked_mul(side(h)?)?
            .checked_mul(side(w)?)?
            .checked_mul(c.div_ceil(self.lanes))?;
        // Far below the address space, so that later sums cannot overflow.
        (c > 0 && h > 0 && w > 0 && words < MOST_WORDS).then_some(words)
    }

    fn lanes_or_none(&self, fits: bool) -> Option<usize> {
        fits.then(|| self.cell())
    }

    /// Zeroes the border of rows `rows` of the blocks `blocks`; the first row owns what is above it,
    /// the last what is below.
    ///
    /// # Safety
    /// `image` points to the words of one image, and nothing else accesses these borders.
    pub(crate) unsafe fn clear_border(
        &self,
        image: *mut f32,
        blocks: [usize; 2],
        rows: [usize; 2],
    ) {
        if self.border == 0 || rows[0] >= rows[1] {
            return;
        }
        let byte = match self.element {
            Element::F32 => 0,
            Element::U8 { zero, .. } => zero,
        };
        let side = self.border * self.cell();
        let first = if rows[0] == 0 {
            0
        } else {
            rows[0] + self.border
        };
        let last = rows[1] + self.border;
        let end = last
            + if rows[1] == self.shape[1] {
                self.border
            } else {
                0
            };
        for block in blocks[0]..blocks[1] {
            for y in first..end {
                // SAFETY: the rows and columns of the border lie within the image.
                unsafe {
                    let row = image.add(block * self.block() + y * self.row());
                    if y < self.border || y >= self.shape[1] + self.border {
                        row.cast::<u8>().write_bytes(byte, 4 * self.row());
                    } else {
                        row.cast::<u8>().write_bytes(byte, 4 * side);
                        let right = row.add(self.row() - side);
                        right.cast::<u8>().write_bytes(byte, 4 * side);
                    }
                }
            }
        }
    }
}

/// Reads a cell of sixteen numbers.
///
/// # Safety
/// The cell at `from` is readable.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(s: S, element: Element, from: *const f32) -> S::V {
    // SAFETY: as the caller vouches.
    unsafe {
        match element {
            Element::F32 => s.load(from),
            Element::U8 { scale, zero } => {
                let scale_v = s.splat(scale);
                let shift = s.splat(-scale * f32::from(zero));
                s.fma(s.load_bytes(from.cast()), scale_v, shift)
            }
        }
    }
}

/// Writes a cell of sixteen numbers; bytes are rounded to the nearest, ties to even.
///
/// # Safety
/// The cell at `to` is writable.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(s: S, element: Element, to: *mut f32, v: S::V) {
    // SAFETY: as the caller vouches.
    unsafe {
        match element {
            Element::F32 => s.store(to, v),
            Element::U8 { scale, zero } => {
                let steps = s.fma(v, s.splat(1.0 / scale), s.splat(f32::from(zero)));
                s.store_bytes(to.cast(), steps);
            }
        }
    }
}
