//! `recipe.toml`: shown as it is, and compared without the keys in which repetitions differ.

use toml::{Table, Value};

/// A recipe as far as the report needs it.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) text: String,
    table: Table,
}

/// Runs that differ only here are repetitions of one another: the seed, and what changes speed alone.
const REPETITION: [&[&str]; 7] = [
    &["seed"],
    &["device"],
    &["data", "cache"],
    &["data", "dir"],
    &["train", "workers"],
    &["train", "prefetch"],
    &["train", "log-every"],
];

impl Recipe {
    /// Reads the text of a recipe.
    pub(crate) fn parse(text: String) -> Result<Self, toml::de::Error> {
        let table = toml::from_str(&text)?;
        Ok(Self { text, table })
    }

    /// The text of a key such as `["model", "backbone", "name"]`.
    pub(crate) fn get(&self, keys: &[&str]) -> Option<String> {
        let (last, parents) = keys.split_last()?;
        let mut table = &self.table;
        for key in parents {
            table = table.get(*key)?.as_table()?;
        }
        match table.get(*last)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(_) | Value::Table(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// Equal for repetitions of one experiment.
    pub(crate) fn experiment(&self) -> String {
        let mut table = self.table.clone();
        for keys in REPETITION {
            remove(&mut table, keys);
        }
        table.to_string()
    }
}

fn remove(table: &mut Table, keys: &[&str]) {
    match keys {
        [] => {}
        [key] => {
            table.remove(*key);
        }
        [key, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(*key) {
                remove(inner, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_differ_in_the_seed_alone() {
        let recipe = |text: &str| Recipe::parse(text.to_owned()).unwrap();
        let a = recipe("name = 'a'\nseed = 0\n[train]\nworkers = 2\nepochs = 3");
        let b = recipe("seed = 1\nname = 'a'\n[train]\nepochs = 3\nworkers = 9");
        let c = recipe("seed = 0\nname = 'a'\n[train]\nepochs = 4\nworkers = 2");
        assert_eq!(a.experiment(), b.experiment());
        assert_ne!(a.experiment(), c.experiment());
        assert_eq!(a.get(&["train", "epochs"]).as_deref(), Some("3"));
        assert_eq!(a.get(&["train", "epochs", "x"]), None);
        assert_eq!(a.get(&["train"]), None);
    }
}
