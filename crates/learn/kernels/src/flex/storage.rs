//! A kernel buffer as the storage of a tensor.

#![expect(
    unsafe_code,
    reason = "a controller of burn's hands out its memory as bytes that may be uninitialised"
)]

use std::mem::MaybeUninit;

use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

use offramp_cpu::memory::{ALIGNMENT, Buffer};

/// Owns a buffer; when the tensor goes, the buffer returns to the buffer cache.
struct Controller(Buffer);

impl AllocationController for Controller {
    fn alloc_align(&self) -> usize {
        ALIGNMENT
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val(&self.0[..]);
        let start = self.0.as_mut_ptr().cast();
        // SAFETY: the buffer is `bytes` long and borrowed exclusively; the caller
        // promises to write initialised values only, and any bytes are an `f32`.
        Ok(unsafe { std::slice::from_raw_parts_mut(start, bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val(&self.0[..]);
        // SAFETY: the buffer is `bytes` long and lives as long as `self`.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), bytes) })
    }
}

/// The buffer as the storage of a tensor, without a copy.
pub(super) fn bytes(buffer: Buffer) -> Bytes {
    let len = size_of_val(&buffer[..]);
    // SAFETY: a buffer is initialised over its whole length.
    unsafe { Bytes::from_controller(Box::new(Controller(buffer)), len) }
}
