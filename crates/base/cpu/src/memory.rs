//! Reuse of large buffers.
//!
//! A training step allocates and frees the same sizes again and again. Handing
//! such buffers back to the system means that every step pays for page faults and
//! for clearing pages, more than the arithmetic on them costs. Buffers are
//! therefore kept here by size, up to a limit, and given out again as they are:
//! initialised, with stale contents. Sizes are rounded up by at most an eighth, so
//! that batches of changing size share them.
//!
//! All that hides mistakes from a sanitizer. Compiled with `--cfg exact_buffers`, every buffer is
//! a block of its own, of its exact length, and unspecified contents are NaN.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Alignment of every buffer, a cache line, in bytes.
pub const ALIGNMENT: usize = 64;

/// Idle buffers are kept up to this many bytes in all; beyond it the pool is emptied,
/// because it is full of sizes that are no longer asked for.
const KEEP_BYTES: usize = 512 << 20;

/// Buffers below this many bytes are not kept.
const SMALL_BYTES: usize = 16 << 10;

struct Idle(NonNull<f32>);

// SAFETY: an idle block has no other owner, so any thread may take it.
unsafe impl Send for Idle {}

/// Idle buffers by the values they hold.
#[derive(Default)]
struct BufferPool {
    idle: HashMap<usize, Vec<Idle>>,
    bytes: usize,
}

impl BufferPool {
    fn take(&mut self, capacity: usize) -> Option<NonNull<f32>> {
        let Idle(start) = self.idle.get_mut(&capacity)?.pop()?;
        self.bytes -= capacity * size_of::<f32>();
        Some(start)
    }

    fn put(&mut self, start: NonNull<f32>, capacity: usize) {
        let bytes = capacity * size_of::<f32>();
        if self.bytes + bytes > KEEP_BYTES {
            for (capacity, idle) in self.idle.drain() {
                for Idle(start) in idle {
                    // SAFETY: an idle block has no other owner and holds `capacity` values.
                    unsafe { free(start, capacity) };
                }
            }
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.idle.entry(capacity).or_default().push(Idle(start));
    }
}

/// Values of the block that serves `len` values.
fn capacity(len: usize) -> usize {
    if cfg!(exact_buffers) {
        return len;
    }
    let step = (len.next_power_of_two() / 16).max(1);
    len.next_multiple_of(step)
}

fn layout(capacity: usize) -> Layout {
    Layout::array::<f32>(capacity)
        .and_then(|layout| layout.align_to(ALIGNMENT))
        .expect("a buffer is smaller than the address space")
}

/// # Safety
/// The block came from [`Buffer::fresh`] for this capacity and has no owner.
unsafe fn free(start: NonNull<f32>, capacity: usize) {
    // SAFETY: as the caller vouches.
    unsafe { dealloc(start.as_ptr().cast(), layout(capacity)) }
}

static POOL: Mutex<Option<BufferPool>> = Mutex::new(None);

fn pool() -> MutexGuard<'static, Option<BufferPool>> {
    // The pool is consistent between statements, a panic elsewhere cannot harm it.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values of `f32` with unspecified contents, aligned to a cache line.
pub struct Buffer {
    start: NonNull<f32>,
    len: usize,
}

// SAFETY: a buffer owns its block alone, like a `Vec<f32>`.
unsafe impl Send for Buffer {}
// SAFETY: shared access is read-only, like a `Vec<f32>`.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A buffer of `len` values whose contents are whatever was there before.
    pub fn new(len: usize) -> Self {
        let capacity = capacity(len);
        if is_large(capacity)
            && let Some(pool) = pool().as_mut()
            && let Some(start) = pool.take(capacity)
        {
            return Self { start, len };
        }
        let mut buffer = Self {
            start: Self::fresh(capacity),
            len,
        };
        if cfg!(exact_buffers) {
            buffer.fill(f32::NAN);
        }
        buffer
    }

    /// A buffer of zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }

    fn fresh(capacity: usize) -> NonNull<f32> {
        if capacity == 0 {
            return NonNull::dangling();
        }
        let layout = layout(capacity);
        // SAFETY: the layout is not empty. The block is initialised, as zeros.
        match NonNull::new(unsafe { alloc_zeroed(layout) }) {
            Some(start) => start.cast(),
            None => handle_alloc_error(layout),
        }
    }
}

/// Whether the pool keeps such a block; the allocator is quick for the others.
fn is_large(capacity: usize) -> bool {
    capacity * size_of::<f32>() >= SMALL_BYTES && !cfg!(exact_buffers)
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the block holds `len` initialised values and is owned by `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = capacity(self.len);
        if is_large(capacity) {
            pool().get_or_insert_default().put(self.start, capacity);
        } else if capacity > 0 {
            // SAFETY: the block came from `fresh`, and its owner goes.
            unsafe { free(self.start, capacity) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_wastes_an_eighth_at_most() {
        for len in (0..100_000)
            .step_by(37)
            .chain([0, 1, 2, 1 << 20, (1 << 20) + 1])
        {
            let capacity = capacity(len);
            assert!(
                capacity >= len && capacity <= len + len / 8 + 1,
                "{len}: {capacity}"
            );
        }
    }

    #[cfg_attr(exact_buffers, ignore)]
    #[test]
    fn buffers_are_aligned_and_reused() {
        let len = 123_457;
        let mut a = Buffer::new(len);
        assert_eq!(a.as_ptr() as usize % ALIGNMENT, 0);
        assert_eq!(a.len(), len);
        a.fill(3.0);
        let address = a.as_ptr();
        drop(a);
        let b = Buffer::new(len);
        assert_eq!(b.as_ptr(), address, "no other test asks for this size");
        assert!(b.iter().all(|&x| x == 3.0));
        drop(b);
        assert_eq!(
            Buffer::new(len + 1).as_ptr(),
            address,
            "sizes are rounded up"
        );
        assert!(Buffer::zeroed(0).is_empty());
        assert_eq!(Buffer::zeroed(5)[..], [0.0; 5]);
    }
}
