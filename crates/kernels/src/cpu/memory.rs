//! Reuse of large buffers.
//!
//! A training step allocates and frees the same sizes again and again. Handing
//! such buffers back to the system means that every step pays for page faults and
//! for clearing pages, more than the arithmetic on them costs. Buffers are
//! therefore kept here by size, up to a limit, and given out again as they are:
//! initialised, with stale contents.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Alignment of every buffer, a cache line, in bytes.
pub(crate) const ALIGNMENT: usize = 64;

/// Idle buffers are kept up to this many bytes in all.
const KEEP_BYTES: usize = 512 << 20;

/// Buffers below this many bytes go to the allocator, which is quick for them.
const SMALL_BYTES: usize = 16 << 10;

struct Idle(NonNull<f32>);

// SAFETY: an idle block has no other owner, so any thread may take it.
unsafe impl Send for Idle {}

#[derive(Default)]
struct Shelf {
    idle: HashMap<usize, Vec<Idle>>,
    bytes: usize,
}

static SHELF: Mutex<Option<Shelf>> = Mutex::new(None);

fn shelf() -> MutexGuard<'static, Option<Shelf>> {
    // The shelf is consistent between statements, a panic elsewhere cannot harm it.
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values of `f32` with unspecified contents, aligned to a cache line.
pub(crate) struct Buffer {
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
        let bytes = len * size_of::<f32>();
        if bytes >= SMALL_BYTES
            && let Some(shelf) = shelf().as_mut()
            && let Some(Idle(start)) = shelf.idle.get_mut(&len).and_then(Vec::pop)
        {
            shelf.bytes -= bytes;
            return Self { start, len };
        }
        Self::fresh(len)
    }

    /// A buffer of zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }

    fn layout(len: usize) -> Layout {
        Layout::array::<f32>(len)
            .and_then(|layout| layout.align_to(ALIGNMENT))
            .expect("a buffer is smaller than the address space")
    }

    fn fresh(len: usize) -> Self {
        let layout = Self::layout(len);
        if layout.size() == 0 {
            return Self {
                start: NonNull::dangling(),
                len,
            };
        }
        // SAFETY: the layout is not empty. The block is initialised, as zeros.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        Self {
            start: start.cast(),
            len,
        }
    }
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
        let bytes = self.len * size_of::<f32>();
        if bytes == 0 {
            return;
        }
        if bytes >= SMALL_BYTES {
            let mut guard = shelf();
            let shelf = guard.get_or_insert_default();
            if shelf.bytes + bytes <= KEEP_BYTES {
                shelf.bytes += bytes;
                shelf
                    .idle
                    .entry(self.len)
                    .or_default()
                    .push(Idle(self.start));
                return;
            }
        }
        // SAFETY: the block came from `alloc_zeroed` with this layout and has no other owner.
        unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(b.as_ptr(), address);
        assert!(b.iter().all(|&x| x == 3.0));
        assert!(Buffer::zeroed(0).is_empty());
        assert_eq!(Buffer::zeroed(5)[..], [0.0; 5]);
    }
}
