//! Numbers brought to other places.

use serde::{Deserialize, Serialize};

use super::Value;
use super::frame::Frame;

/// `count` numbers, `to[i * to_step] = from[i * from_step]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first word that is read.
    pub from: usize,
    /// The first word that is written.
    pub to: usize,
    /// How many.
    pub count: usize,
    /// Words between those that are read; 0 repeats one.
    pub from_step: usize,
    /// Words between those that are written.
    pub to_step: usize,
}

/// Joined, cut, shuffled, padded, reshaped values, and the way in and out of blocked layouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// What is read with the runs from it.
    pub sources: Vec<(Value, Vec<Run>)>,
    /// The value that is written.
    pub output: Value,
    /// Whether the output is filled with zeros first, its border among them.
    pub clear: bool,
}

impl Copy {
    /// Runs one of `tasks` parts.
    ///
    /// # Safety
    /// The step was checked against the program; no other task has this number.
    pub(super) unsafe fn run(&self, frame: &Frame, task: usize, tasks: usize) {
        let part = |n: usize| n * task / tasks..n * (task + 1) / tasks;
        for image in part(frame.images) {
            // SAFETY: the check has shown that every run lies within its values; the image belongs to
            // this task.
            unsafe {
                let to = frame.write(&self.output, image);
                let layout = &self.output.layout;
                if self.clear {
                    to.write_bytes(0, layout.words());
                } else {
                    layout.clear_border(to, [0, layout.blocks()], [0, layout.shape[1]]);
                }
                for (value, runs) in &self.sources {
                    let from = frame.read(value, image);
                    for run in runs {
                        copy(run, from, to);
                    }
                }
            }
        }
    }
}

/// # Safety
/// The run lies within the values.
unsafe fn copy(run: &Run, from: *const f32, to: *mut f32) {
    // SAFETY: as the caller vouches.
    unsafe {
        let (from, to) = (from.add(run.from), to.add(run.to));
        if run.from_step == 1 && run.to_step == 1 {
            to.copy_from_nonoverlapping(from, run.count);
            return;
        }
        for i in 0..run.count {
            *to.add(i * run.to_step) = *from.add(i * run.from_step);
        }
    }
}
