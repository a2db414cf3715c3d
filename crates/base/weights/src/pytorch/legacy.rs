//! The format before PyTorch 1.6, still written with `_use_new_zipfile_serialization=False`.
//!
//! Pickles follow each other: a magic number, the version 1001, properties of the machine, the
//! object, the keys of the storages. Then every storage in the order of the keys: the number of its
//! elements in 8 bytes, and the elements.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::objects::{Object, Objects};
use super::pickle::{self, Pickle};
use super::state_dict;
use crate::Problem;
use crate::file::{Stored, StoredTensors};
use crate::view::Section;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Finds the tensors of a file. Storages stay where they are in `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<StoredTensors, Problem> {
    let mut at = 0;
    let mut next = || -> Result<Pickle, Problem> {
        let pickle = pickle::read(&bytes[at..]).map_err(|problem| further(problem, at))?;
        at += pickle.length;
        Ok(pickle)
    };
    for (number, what) in [(MAGIC, "magic number"), (VERSION, "version")] {
        let pickle = next()?;
        match pickle.objects.get(pickle.root) {
            Object::Int(found) if *found == number => {}
            Object::Int(found) => {
                return Err(malformed(format!("{what} {found} instead of {number}")));
            }
            other => return Err(malformed(format!("{} as the {what}", other.kind()))),
        }
    }
    if is_big_endian(&next()?) {
        return Err(Problem::BigEndian);
    }
    let checkpoint = next()?;
    let tensors = state_dict::find(&checkpoint)?;
    let keys = keys(&next()?)?;
    let sections = sections(bytes, at, &keys, &sizes(&checkpoint.objects)?)?;
    tensors
        .into_iter()
        .map(|(name, tensor)| match sections.get(&*tensor.storage.key) {
            Some(section) => {
                let (view, section) = (tensor.view, section.clone());
                Ok((name, Stored { view, section }))
            }
            None => Err(Problem::Tensor {
                name,
                reason: format!("its storage {:?} is not in the file", tensor.storage.key),
            }),
        })
        .collect()
}

/// A problem of a pickle that begins at `start`.
fn further(problem: Problem, start: usize) -> Problem {
    match problem {
        Problem::Pickle { at, reason } => Problem::Pickle {
            at: at + start,
            reason,
        },
        Problem::Truncated {
            what,
            at,
            needed,
            left,
        } => Problem::Truncated {
            what,
            at: at + start,
            needed,
            left,
        },
        other => other,
    }
}

fn malformed(reason: String) -> Problem {
    Problem::Pickle { at: 0, reason }
}

fn is_big_endian(machine: &Pickle) -> bool {
    let objects = &machine.objects;
    let Object::Dict(items) = objects.get(machine.root) else {
        return false;
    };
    items.iter().any(|(key, value)| {
        objects
            .text(*key)
            .is_some_and(|key| &**key == "little_endian")
            && matches!(objects.get(*value), Object::Bool(false))
    })
}

fn keys(pickle: &Pickle) -> Result<Vec<Rc<str>>, Problem> {
    let objects = &pickle.objects;
    match objects.get(pickle.root) {
        Object::List(keys) => keys
            .iter()
            .map(|key| objects.text(*key).cloned())
            .collect::<Option<_>>()
            .ok_or_else(|| malformed("the key of a storage is no text".to_owned())),
        other => Err(malformed(format!(
            "{} instead of the keys of storages",
            other.kind()
        ))),
    }
}

/// Elements of each storage and bytes of an element. Those of an optimiser are among them: what
/// follows on a storage is found by its size.
fn sizes(objects: &Objects) -> Result<HashMap<&str, (usize, usize)>, Problem> {
    let mut sizes = HashMap::new();
    for storage in objects.storages() {
        let size = (storage.elements, storage.dtype.size());
        if *sizes.entry(&*storage.key).or_insert(size) != size {
            return Err(malformed(format!(
                "storage {:?} has two sizes",
                storage.key
            )));
        }
    }
    Ok(sizes)
}

fn sections(
    bytes: &[u8],
    mut at: usize,
    keys: &[Rc<str>],
    sizes: &HashMap<&str, (usize, usize)>,
) -> Result<HashMap<Rc<str>, Section>, Problem> {
    let mut sections = HashMap::new();
    let mut take = |what, needed: u64| {
        let left = bytes.len() - at;
        match usize::try_from(needed)
            .ok()
            .filter(|needed| *needed <= left)
        {
            Some(needed) => {
                at += needed;
                Ok(at - needed..at)
            }
            None => Err(Problem::Truncated {
                what,
                at,
                needed,
                left,
            }),
        }
    };
    for key in keys {
        let mut count = [0; 8];
        count.copy_from_slice(&bytes[take("the size of a storage", 8)?]);
        let count = u64::from_le_bytes(count);
        let Some(&(elements, size)) = sizes.get(&**key) else {
            return Err(malformed(format!("storage {key:?} belongs to no tensor")));
        };
        if count != elements as u64 {
            return Err(malformed(format!(
                "storage {key:?} has {count} elements, its tensors say {elements}"
            )));
        }
        let section = Section {
            name: Arc::from(&**key),
            bytes: take("a storage", count.saturating_mul(size as u64))?,
            crc32: None,
        };
        sections.insert(Rc::clone(key), section);
    }
    Ok(sections)
}
