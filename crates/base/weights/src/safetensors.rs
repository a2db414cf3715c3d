//! The safetensors format: a JSON header with shapes and positions, then the bytes.

use ::safetensors::SafeTensors;
use ::safetensors::tensor::Dtype as FileDtype;

use crate::file::{Stored, StoredTensors};
use crate::view::{Section, View};
use crate::{Dtype, Problem};

/// Whether a header of JSON follows on its length, a 64-bit number.
pub(crate) fn looks_like_one(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

pub(crate) fn read(bytes: &[u8]) -> Result<StoredTensors, Problem> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| Problem::Safetensors(error.to_string()))?;
    file.iter()
        .map(|(name, tensor)| {
            let wrong = |reason: String| Problem::Tensor {
                name: name.to_owned(),
                reason,
            };
            let dtype = dtype(tensor.dtype())
                .ok_or_else(|| wrong(format!("elements of type {:?}", tensor.dtype())))?;
            let view = View::contiguous(dtype, tensor.shape().to_vec())
                .ok_or_else(|| wrong(format!("shape {:?} is too large", tensor.shape())))?;
            // The slice is one of `bytes`: the header is of the file, its positions are checked.
            let start = tensor.data().as_ptr().addr() - bytes.as_ptr().addr();
            let section = Section {
                name: name.into(),
                bytes: start..start + tensor.data().len(),
                crc32: None,
            };
            Ok((name.to_owned(), Stored { view, section }))
        })
        .collect()
}

fn dtype(dtype: FileDtype) -> Option<Dtype> {
    Some(match dtype {
        FileDtype::F32 => Dtype::F32,
        FileDtype::F64 => Dtype::F64,
        FileDtype::F16 => Dtype::F16,
        FileDtype::BF16 => Dtype::Bf16,
        FileDtype::I64 => Dtype::I64,
        FileDtype::I32 => Dtype::I32,
        FileDtype::I16 => Dtype::I16,
        FileDtype::I8 => Dtype::I8,
        FileDtype::U8 => Dtype::U8,
        FileDtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}
