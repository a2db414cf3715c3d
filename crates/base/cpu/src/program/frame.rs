//! Where a step finds its values while it runs.

use super::{Place, Value};

/// The memory of one run of a step over some images.
pub(super) struct Frame<'a> {
    /// Values of the program, those of one kind for all images side by side.
    pub arena: *mut f32,
    /// Images for which the arena has room.
    pub room: usize,
    /// The first image of this run among those of the arena.
    pub from: usize,
    /// Images of this run.
    pub images: usize,
    /// Inputs, for all images of the call.
    pub inputs: &'a [*const f32],
    /// Outputs alike.
    pub outputs: &'a [*mut f32],
    /// The first image of the arena among those of the call.
    pub first: usize,
    /// The program's weights.
    pub weights: *const f32,
    /// Memory of this thread alone.
    pub scratch: *mut f32,
}

impl Frame<'_> {
    /// The numbers of a value that is read, of one image.
    ///
    /// # Safety
    /// The value is one of the checked program, the image one of the frame.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, value: &Value, image: usize) -> *const f32 {
        let (words, image) = (value.layout.words(), self.from + image);
        // SAFETY: a checked value lies within the arena or port, for each image.
        unsafe {
            match value.place {
                Place::Arena(offset) => self.arena.add(offset * self.room + image * words),
                Place::Input(port) => self.inputs[port].add((self.first + image) * words),
                Place::Output(port) => self.outputs[port].add((self.first + image) * words),
            }
        }
    }

    /// The numbers of a value that is written, of one image.
    ///
    /// # Safety
    /// As for [`Frame::read`].
    #[inline(always)]
    pub(crate) unsafe fn write(&self, value: &Value, image: usize) -> *mut f32 {
        let (words, image) = (value.layout.words(), self.from + image);
        // SAFETY: as above.
        unsafe {
            match value.place {
                Place::Arena(offset) => self.arena.add(offset * self.room + image * words),
                Place::Input(_) => unreachable!("the check refuses steps that write inputs"),
                Place::Output(port) => self.outputs[port].add((self.first + image) * words),
            }
        }
    }

    /// Clears the borders of rows, counted over all images, of some blocks of channels.
    ///
    /// # Safety
    /// As for [`Frame::read`], and no other task has these rows of these blocks.
    pub(crate) unsafe fn clear_borders(&self, value: &Value, blocks: [usize; 2], rows: [usize; 2]) {
        let height = value.layout.shape[1];
        if value.layout.border == 0 || rows[0] >= rows[1] {
            return;
        }
        for image in rows[0] / height..rows[1].div_ceil(height) {
            let first = rows[0].saturating_sub(image * height);
            let last = (rows[1] - image * height).min(height);
            // SAFETY: as the caller vouches.
            unsafe {
                let at = self.write(value, image);
                value.layout.clear_border(at, blocks, [first, last]);
            }
        }
    }
}
