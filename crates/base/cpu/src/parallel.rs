//! Running independent tasks on the threads of the process.

use rayon::prelude::*;
use std::marker::PhantomData;

/// Calls `task(i)` for `i` in `0..count`, in parallel when there is more than one.
pub(crate) fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    match count {
        0 => {}
        1 => task(0),
        _ => (0..count).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// A mutable slice that tasks share, each writing its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only used through `slice`, whose caller promises that
// tasks touch disjoint parts.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares `slice` for as long as it is borrowed.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            lifetime: PhantomData,
        }
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first value; valid for `len` values.
    pub(crate) fn as_ptr(&self) -> *mut f32 {
        self.start
    }

    /// The part `start..start + len`.
    ///
    /// # Panics
    /// If the part exceeds the slice.
    ///
    /// # Safety
    /// While the part is alive no other reference to any of its values is used.
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [f32] {
        assert!(start + len <= self.len, "part out of range");
        // SAFETY: in range by the check above, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_write_their_own_parts() {
        let mut data = vec![0.0f32; 100];
        let shared = Shared::new(&mut data);
        for_each(10, |i| {
            // SAFETY: task i alone touches 10 i .. 10 i + 10.
            let part = unsafe { shared.slice(i * 10, 10) };
            part.fill(i as f32);
        });
        assert!(data.iter().enumerate().all(|(i, &v)| v == (i / 10) as f32));
    }
}
