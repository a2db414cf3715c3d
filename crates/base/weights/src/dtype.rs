//! Element types of foreign files, and their way to `f32`.

use half::{bf16, f16};

/// The type of a tensor's elements in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// A byte, 0 or 1.
    Bool,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The element at index `index` of little-endian `bytes`, rounded to the nearest `f32`.
    ///
    /// # Panics
    /// When `bytes` are too short for it.
    pub(crate) fn element(self, bytes: &[u8], index: usize) -> f32 {
        fn array<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
            let mut array = [0; N];
            array.copy_from_slice(&bytes[index * N..][..N]);
            array
        }
        match self {
            Self::F32 => f32::from_le_bytes(array(bytes, index)),
            Self::F64 => f64::from_le_bytes(array(bytes, index)) as f32,
            Self::F16 => f16::from_le_bytes(array(bytes, index)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(array(bytes, index)).to_f32(),
            Self::I64 => i64::from_le_bytes(array(bytes, index)) as f32,
            Self::I32 => i32::from_le_bytes(array(bytes, index)) as f32,
            Self::I16 => i16::from_le_bytes(array(bytes, index)).into(),
            Self::I8 => i8::from_le_bytes(array(bytes, index)).into(),
            Self::U8 | Self::Bool => bytes[index].into(),
        }
    }
}
