//! Pooling over windows of any kind.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::layout::{load, store};
use super::{Activation, Value};
use crate::simd::{Kernel, Simd, dispatch};

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The largest number.
    Max,
    /// The sum over the window divided by this many positions, or by those that are inside.
    Mean {
        /// The divisor; none: the positions inside the map.
        area: Option<usize>,
    },
}

/// `output[c, i, j]` from `input[c, rows[i], columns[j]]`.
///
/// A window, PyTorch's adaptive pooling and the global mean differ in their ranges alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The map that is read, in cells.
    pub input: Value,
    /// The map that is written, in cells.
    pub output: Value,
    /// Maximum or mean.
    pub pooling: Pooling,
    /// First row and the one after the last, for each output row.
    pub rows: Vec<[usize; 2]>,
    /// The same for columns.
    pub columns: Vec<[usize; 2]>,
    /// Applied to the result.
    pub activation: Activation,
}

impl Pool {
    /// Runs one of `tasks` parts.
    ///
    /// # Safety
    /// The step was checked against the program; no other task has this number.
    pub(super) unsafe fn run(&self, frame: &Frame, task: usize, tasks: usize) {
        dispatch(Run {
            pool: self,
            frame,
            task,
            tasks,
        });
    }
}

struct Run<'a> {
    pool: &'a Pool,
    frame: &'a Frame<'a>,
    task: usize,
    tasks: usize,
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pool, frame, .. } = self;
        let [input, output] = [&pool.input.layout, &pool.output.layout];
        let blocks = output.blocks();
        let units = frame.images * blocks;
        for unit in units * self.task / self.tasks..units * (self.task + 1) / self.tasks {
            let (image, block) = (unit / blocks, unit % blocks);
            // SAFETY: the check has shown that the ranges lie within the input; the maps of the unit
            // belong to this task.
            unsafe {
                let from = frame.read(&pool.input, image).add(block * input.block());
                let image = frame.write(&pool.output, image);
                let to = image.add(block * output.block());
                for (y, &rows) in pool.rows.iter().enumerate() {
                    for (x, &columns) in pool.columns.iter().enumerate() {
                        let v = window(s, pool, from, rows, columns);
                        let v = pool.activation.apply(s, v);
                        let cell = to.add(output.at(y as isize, x as isize));
                        store(s, output.element, cell, v);
                    }
                }
                output.clear_border(image, [block, block + 1], [0, output.shape[1]]);
            }
        }
    }
}

/// # Safety
/// The ranges lie within the map at `from`.
#[inline(always)]
unsafe fn window<S: Simd>(
    s: S,
    pool: &Pool,
    from: *const f32,
    rows: [usize; 2],
    columns: [usize; 2],
) -> S::V {
    let layout = &pool.input.layout;
    let is_max = pool.pooling == Pooling::Max;
    let mut v = s.splat(if is_max { f32::NEG_INFINITY } else { 0.0 });
    for y in rows[0]..rows[1] {
        // SAFETY: as the caller vouches.
        unsafe {
            let row = from.add(layout.at(y as isize, 0));
            for x in columns[0]..columns[1] {
                let value = load(s, layout.element, row.add(x * layout.cell()));
                v = if is_max {
                    s.max(v, value)
                } else {
                    s.add(v, value)
                };
            }
        }
    }
    match pool.pooling {
        Pooling::Max => v,
        Pooling::Mean { area } => {
            let inside = (rows[1] - rows[0]) * (columns[1] - columns[0]);
            s.mul(v, s.splat(1.0 / area.unwrap_or(inside) as f32))
        }
    }
}
