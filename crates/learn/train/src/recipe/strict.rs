//! Reading a tree of settings so that an error names the key at fault.
//!
//! serde forgets where it is inside tagged enums (`[method]`, `[model.head]`),
//! and knows no path at all for a key that does not exist. The path is found
//! here from outside: a key whose removal makes the error another one is, or
//! contains, the key at fault.

use offramp_core::nearest;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// A setting that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BadKey {
    /// Path from the root.
    pub path: Vec<String>,
    /// What is wrong, with the value and the nearest right name.
    pub problem: String,
}

/// Reads `tree`; `known` is a tree of the same kind from which keys are
/// suggested that stand elsewhere.
pub(crate) fn decode<T: DeserializeOwned>(tree: &Table, known: &Table) -> Result<T, BadKey> {
    let error = match attempt::<T>(tree) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let path = find::<T>(tree.clone(), &error);
    let problem = explain(&error, &path, get(tree, &path), known);
    Err(BadKey { path, problem })
}

fn attempt<T: DeserializeOwned>(tree: &Table) -> Result<T, String> {
    T::deserialize(Value::Table(tree.clone())).map_err(|error| error.message().to_owned())
}

/// Descends to the key that causes `error`, taking away on the way whatever does not.
fn find<T: DeserializeOwned>(mut tree: Table, error: &str) -> Vec<String> {
    let mut path = Vec::new();
    loop {
        let Some(here) = get_mut(&mut tree, &path) else {
            return path;
        };
        let keys: Vec<String> = here.keys().cloned().collect();
        let (mut guilty, mut needed) = (None, None);
        for key in keys {
            let mut without = tree.clone();
            if let Some(table) = get_mut(&mut without, &path) {
                table.remove(&key);
            }
            match attempt::<T>(&without) {
                Err(other) if other == error => tree = without,
                // A key that must be there, such as the tag of an enum, changes the error too.
                Err(other) if key == "name" || other.starts_with("missing field") => {
                    needed = Some(key);
                }
                _ => guilty = Some(key),
            }
        }
        match guilty.or(needed) {
            Some(key) => path.push(key),
            None => return path,
        }
    }
}

fn get<'a>(tree: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(tree.get(first)?, |value, key| value.get(key))
}

fn get_mut<'a>(tree: &'a mut Table, path: &[String]) -> Option<&'a mut Table> {
    path.iter().try_fold(tree, |table, key| {
        table.get_mut(key).and_then(Value::as_table_mut)
    })
}

fn explain(error: &str, path: &[String], value: Option<&Value>, known: &Table) -> String {
    let names: Vec<&str> = error.split('`').skip(1).step_by(2).collect();
    let (parent, last) = match path.split_last() {
        Some((last, parent)) => (parent, last.as_str()),
        None => (path, ""),
    };
    if error.starts_with("unknown field") {
        let candidates = names.get(1..).unwrap_or_default();
        let beside = nearest(last, candidates.iter().copied());
        let right = match beside {
            Some(name) => Some(dotted(parent, name)),
            None => elsewhere(known, last),
        };
        let hint = match right {
            Some(key) => format!("; did you mean `{key}`?"),
            None => String::new(),
        };
        let list = if candidates.is_empty() {
            "no keys belong here".to_owned()
        } else {
            format!("the keys here are {}", candidates.join(", "))
        };
        return format!("there is no such key{hint} ({list})");
    }
    if error.starts_with("unknown variant")
        && let [wrong, right @ ..] = names.as_slice()
    {
        let hint = match nearest(wrong, right.iter().copied()) {
            Some(name) => format!("; did you mean {name:?}?"),
            None => String::new(),
        };
        let list = right.join(", ");
        return format!("there is no {wrong:?}{hint} (there are {list})");
    }
    match value {
        Some(value) if !value.is_table() => format!("{error} (the value is {value})"),
        _ => error.to_owned(),
    }
}

/// `a.b` and `c` to `a.b.c`.
pub(crate) fn dotted(parent: &[String], key: &str) -> String {
    let parts: Vec<&str> = parent.iter().map(String::as_str).chain([key]).collect();
    parts.join(".")
}

/// The path of a key of this very name somewhere in `known`.
fn elsewhere(known: &Table, name: &str) -> Option<String> {
    let mut open = vec![(Vec::new(), known)];
    while let Some((path, table)) = open.pop() {
        for (key, value) in table {
            if key == name {
                return Some(dotted(&path, key));
            }
            if let Value::Table(inner) = value {
                let path = path.iter().cloned().chain([key.clone()]).collect();
                open.push((path, inner));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    struct Root {
        train: Train,
        method: Method,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    struct Train {
        epochs: usize,
        batch_size: usize,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(tag = "name", rename_all = "kebab-case")]
    enum Method {
        Plain(Plain),
        Mate(Mate),
    }

    impl Default for Method {
        fn default() -> Self {
            Self::Plain(Plain {})
        }
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Plain {}

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    struct Mate {
        lambda: f64,
        temperature: f64,
        ramp: Train,
    }

    fn problem(text: &str) -> (String, String) {
        let tree: Table = text.parse().unwrap();
        let known = Table::try_from(Root::default()).unwrap();
        let bad = decode::<Root>(&tree, &known).unwrap_err();
        (bad.path.join("."), bad.problem)
    }

    #[test]
    fn a_wrong_key_is_named_by_its_path_and_the_nearest_right_one() {
        for (text, path, hint) in [
            (
                "[train]\nepoch = 3",
                "train.epoch",
                "did you mean `train.epochs`?",
            ),
            (
                "[train]\nepochs = 1\nbatchsize = 3",
                "train.batchsize",
                "`train.batch-size`",
            ),
            ("epochs = 3", "epochs", "did you mean `train.epochs`?"),
            ("[trian]\nepochs = 3", "trian", "did you mean `train`?"),
            (
                "[method]\nname = \"mate\"\nlamda = 0.5\ntemperature = 1",
                "method.lamda",
                "did you mean `method.lambda`?",
            ),
            (
                "[method]\nname = \"mate\"\n[method.ramp]\nepocs = 1\nbatch-size = 1",
                "method.ramp.epocs",
                "did you mean `method.ramp.epochs`?",
            ),
            (
                "[method]\nname = \"plain\"\nx = 1",
                "method.x",
                "no keys belong here",
            ),
        ] {
            let (found, message) = problem(text);
            assert_eq!(found, path, "{text}");
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn a_wrong_name_gets_the_nearest_right_one() {
        let (path, message) = problem("[method]\nname = \"matte\"");
        assert_eq!(path, "method.name");
        assert!(message.contains("did you mean \"mate\"?"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_shown() {
        for (text, path, value) in [
            ("[train]\nepochs = \"three\"", "train.epochs", "three"),
            ("[train]\nepochs = -3", "train.epochs", "-3"),
            ("train = 3", "train", "3"),
            (
                "[method]\nname = \"mate\"\nlambda = \"x\"",
                "method.lambda",
                "\"x\"",
            ),
            (
                "[method]\nname = \"mate\"\nlambda = 1\n[method.ramp]\nepochs = true",
                "method.ramp.epochs",
                "true",
            ),
        ] {
            let (found, message) = problem(text);
            assert_eq!(found, path, "{text}");
            assert!(message.contains(value), "{text}: {message}");
        }
    }

    #[test]
    fn of_two_mistakes_of_the_same_kind_one_is_named() {
        let (path, _) = problem("[train]\nepochs = \"x\"\nbatch-size = \"x\"");
        assert!(path.starts_with("train."), "{path}");
    }

    #[test]
    fn a_missing_tag_is_blamed_on_its_table() {
        let (path, message) = problem("[method]\nlambda = 1");
        assert_eq!(path, "method");
        assert!(message.contains("missing field `name`"), "{message}");
    }
}
