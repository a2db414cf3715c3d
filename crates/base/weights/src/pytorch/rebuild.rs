//! The functions that a state_dict names, without Python.

use std::rc::Rc;

use super::objects::{Function, Id, Object, Objects, Storage, Tensor};
use crate::Dtype;
use crate::view::{MAX_DIMS, View};

impl Function {
    /// The function of a name in Python, if it is known.
    pub(crate) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch" | "torch.cuda", class) => Self::StorageClass(match class {
                "FloatStorage" => Dtype::F32,
                "DoubleStorage" => Dtype::F64,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::Bf16,
                "LongStorage" => Dtype::I64,
                "IntStorage" => Dtype::I32,
                "ShortStorage" => Dtype::I16,
                "CharStorage" => Dtype::I8,
                "ByteStorage" => Dtype::U8,
                "BoolStorage" => Dtype::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// What a function makes of its arguments.
pub(super) fn call(
    objects: &Objects,
    function: Function,
    arguments: &[Id],
) -> Result<Object, String> {
    match function {
        Function::OrderedDict => ordered_dict(objects, arguments),
        // Before 0.4 without, since then with whether gradients are needed, and hooks.
        Function::RebuildTensor | Function::RebuildTensorV2 => match arguments {
            [storage, offset, shape, strides, ..] => {
                tensor(objects, *storage, *offset, *shape, *strides)
            }
            _ => Err(format!("a tensor is made of {} arguments", arguments.len())),
        },
        Function::RebuildParameter => match arguments.first().map(|id| objects.get(*id)) {
            Some(Object::Tensor(tensor)) => Ok(Object::Tensor(tensor.clone())),
            Some(other) => Err(format!("a parameter is made of {}", other.kind())),
            None => Err("a parameter is made of nothing".to_owned()),
        },
        Function::StorageClass(_) => Err("a storage is made without a persistent id".to_owned()),
    }
}

/// `OrderedDict()` or `OrderedDict([(key, value), ..])`.
fn ordered_dict(objects: &Objects, arguments: &[Id]) -> Result<Object, String> {
    let pairs = match arguments.first().map(|id| objects.get(*id)) {
        None => return Ok(Object::Dict(Vec::new())),
        Some(Object::List(pairs)) => pairs,
        Some(other) => return Err(format!("an OrderedDict is made of {}", other.kind())),
    };
    let pair = |id: &Id| match objects.get(*id) {
        Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
        other => Err(format!("{} is no pair of key and value", other.kind())),
    };
    Ok(Object::Dict(
        pairs.iter().map(pair).collect::<Result<_, _>>()?,
    ))
}

fn tensor(
    objects: &Objects,
    storage: Id,
    offset: Id,
    shape: Id,
    strides: Id,
) -> Result<Object, String> {
    let Object::Storage(storage) = objects.get(storage) else {
        let kind = objects.get(storage).kind();
        return Err(format!("a tensor lies in {kind} instead of a storage"));
    };
    let offset = objects
        .size(offset)
        .and_then(|offset| offset.checked_add(storage.first));
    Ok(Object::Tensor(Box::new(Tensor {
        storage: Rc::clone(storage),
        view: View {
            dtype: storage.dtype,
            offset: offset.ok_or("the offset of a tensor is no position")?,
            shape: sizes(objects, shape, "shape")?,
            strides: sizes(objects, strides, "stride")?,
        },
    })))
}

fn sizes(objects: &Objects, id: Id, what: &str) -> Result<Vec<usize>, String> {
    match objects.get(id) {
        Object::Tuple(sizes) | Object::List(sizes) if sizes.len() <= MAX_DIMS => (sizes.iter())
            .map(|size| objects.size(*size))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("the {what} of a tensor is no tuple of sizes")),
        Object::Tuple(sizes) | Object::List(sizes) => {
            Err(format!("a tensor of {} dimensions", sizes.len()))
        }
        other => Err(format!("the {what} of a tensor is {}", other.kind())),
    }
}

/// The storage of a persistent id: `("storage", class, key, device, elements)`, in old files with
/// `None` or `(key, first element, elements)` of a part of it as a sixth.
pub(super) fn storage(objects: &Objects, id: Id) -> Result<Storage, String> {
    let Object::Tuple(parts) = objects.get(id) else {
        return Err(format!("{} as a persistent id", objects.get(id).kind()));
    };
    let [tag, class, key, _, elements, part @ ..] = &parts[..] else {
        return Err(format!("a persistent id of {} parts", parts.len()));
    };
    let tag = objects.text(*tag);
    if tag.is_none_or(|tag| &**tag != "storage") {
        return Err("a persistent id that is not of a storage".to_owned());
    }
    let Object::Function(Function::StorageClass(dtype)) = objects.get(*class) else {
        return Err("a storage of no known class".to_owned());
    };
    let first = match part.first().map(|part| objects.get(*part)) {
        None | Some(Object::None) => Some(0),
        Some(Object::Tuple(part)) => part.get(1).and_then(|first| objects.size(*first)),
        Some(_) => None,
    };
    let key = objects
        .text(*key)
        .ok_or("the key of a storage is no text")?;
    Ok(Storage {
        key: Rc::clone(key),
        dtype: *dtype,
        elements: objects
            .size(*elements)
            .ok_or("the size of a storage is no size")?,
        first: first.ok_or("the part of a storage is no part")?,
    })
}
