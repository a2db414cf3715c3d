//! The tensors of a pickled checkpoint.

use std::collections::BTreeMap;

use super::objects::{Id, Object, Objects, Tensor};
use super::pickle::Pickle;
use crate::Problem;

/// Keys under which training programs keep the weights.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Checkpoints within checkpoints that are looked into.
const DEPTH: usize = 3;

/// Tensors by name: those of the state_dict under one of [`KEYS`], or of the dictionary itself.
pub(super) fn find(pickle: &Pickle) -> Result<BTreeMap<String, Tensor>, Problem> {
    let objects = &pickle.objects;
    let mut here = pickle.root;
    for _ in 0..DEPTH {
        let Object::Dict(items) = objects.get(here) else {
            break;
        };
        let inner = KEYS.iter().find_map(|key| {
            let named = |(name, _): &&(Id, Id)| objects.text(*name).is_some_and(|n| &**n == *key);
            let (_, value) = items.iter().rfind(named)?;
            matches!(objects.get(*value), Object::Dict(_)).then_some(*value)
        });
        match inner {
            Some(inner) => here = inner,
            None => {
                let tensors = tensors(objects, items);
                if tensors.is_empty() {
                    break;
                }
                return Ok(tensors);
            }
        }
    }
    Err(Problem::NoStateDict {
        found: describe(objects, here),
    })
}

fn tensors(objects: &Objects, items: &[(Id, Id)]) -> BTreeMap<String, Tensor> {
    let tensor = |(name, value): &(Id, Id)| match objects.get(*value) {
        Object::Tensor(tensor) => Some((objects.text(*name)?.to_string(), Tensor::clone(tensor))),
        _ => None,
    };
    items.iter().filter_map(tensor).collect()
}

fn describe(objects: &Objects, id: Id) -> String {
    let Object::Dict(items) = objects.get(id) else {
        return objects.get(id).kind().to_owned();
    };
    let keys = items.iter().filter_map(|(key, _)| objects.text(*key));
    let keys: Vec<String> = keys
        .take(8)
        .map(|key| key.chars().take(40).collect::<String>())
        .map(|key| format!("{key:?}"))
        .collect();
    if keys.is_empty() {
        "an empty dict".to_owned()
    } else {
        format!("a dict with {}", keys.join(", "))
    }
}
