//! `recipe.toml`, as far as it can be read without knowing methods and networks: its text, single keys, and
//! which keys change no result.

use toml::{Table, Value};

/// Keys that change no result, or like the device its last digits alone: an interrupted run may go on
/// with others, and runs that differ in nothing else repeat one experiment.
pub const WITHOUT_EFFECT: [&str; 9] = [
    "device",
    "data.augment.on-device",
    "data.cache",
    "data.dir",
    "train.checkpointing",
    "train.eval-batch-size",
    "train.log-every",
    "train.prefetch",
    "train.workers",
];

/// The key in which repetitions of an experiment differ.
pub(crate) const REPETITION: &str = "seed";

/// A recipe as a text and a tree of keys.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeText {
    /// The text.
    pub text: String,
    table: Table,
}

impl RecipeText {
    /// Name of the file in a run folder.
    pub const FILE: &str = "recipe.toml";

    /// Reads the text of a recipe.
    ///
    /// # Errors
    /// When it is no TOML; the message says the line.
    pub fn parse(text: String) -> Result<Self, toml::de::Error> {
        let table = toml::from_str(&text)?;
        Ok(Self { text, table })
    }

    /// The text of a key such as `["model", "backbone", "name"]`.
    pub fn get(&self, keys: &[&str]) -> Option<String> {
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

    /// Equal for repetitions of one experiment: runs that differ in the seed and in keys
    /// [without effect](WITHOUT_EFFECT) alone.
    pub fn experiment(&self) -> String {
        let mut table = self.table.clone();
        for key in WITHOUT_EFFECT.into_iter().chain([REPETITION]) {
            remove(&mut table, key);
        }
        table.to_string()
    }
}

/// Takes out a dotted key, and the tables that hold nothing else.
fn remove(table: &mut Table, key: &str) {
    let Some((first, rest)) = key.split_once('.') else {
        table.remove(key);
        return;
    };
    if let Some(Value::Table(inner)) = table.get_mut(first) {
        remove(inner, rest);
        if inner.is_empty() {
            table.remove(first);
        }
    }
}

/// A key whose value is not the same in two trees of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Dotted path.
    pub key: String,
    /// Value in the first tree; `unset` if it has none.
    pub first: String,
    /// Value in the second tree; `unset` if it has none.
    pub second: String,
}

/// The first difference in the order of the keys, leaving out the paths in `ignored`.
pub fn first_difference(a: &Table, b: &Table, ignored: &[&str]) -> Option<Difference> {
    below("", a, b, ignored)
}

fn below(path: &str, a: &Table, b: &Table, ignored: &[&str]) -> Option<Difference> {
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let dotted = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        if ignored.contains(&dotted.as_str()) {
            return None;
        }
        match (a.get(key), b.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => below(&dotted, a, b, ignored),
            (a, b) if a == b => None,
            (a, b) => Some(Difference {
                key: dotted,
                first: show(a),
                second: show(b),
            }),
        }
    })
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "unset".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_differ_in_the_seed_alone() {
        let recipe = |text: &str| RecipeText::parse(text.to_owned()).unwrap();
        let a = recipe("name = 'a'\nseed = 0\n[train]\nworkers = 2\nepochs = 3");
        let b = recipe("seed = 1\nname = 'a'\n[train]\nepochs = 3\nworkers = 9");
        let c = recipe("seed = 0\nname = 'a'\n[train]\nepochs = 4\nworkers = 2");
        assert_eq!(a.experiment(), b.experiment());
        assert_ne!(a.experiment(), c.experiment());
        assert_eq!(a.get(&["train", "epochs"]).as_deref(), Some("3"));
        assert_eq!(a.get(&["train", "epochs", "x"]), None);
        assert_eq!(a.get(&["train"]), None);
    }

    #[test]
    fn every_key_without_effect_makes_a_repetition() {
        let recipe = |text: &str| RecipeText::parse(text.to_owned()).unwrap();
        let plain = recipe("name = 'a'\n[train]\nepochs = 3");
        for key in WITHOUT_EFFECT {
            let other = recipe(&format!("name = 'a'\ntrain.epochs = 3\n{key} = 7"));
            assert_eq!(plain.experiment(), other.experiment(), "{key}");
            assert_eq!(
                first_difference(&plain.table, &other.table, &WITHOUT_EFFECT).map(|d| d.key),
                // A table of which only ignored keys are there is still a table more.
                (key.starts_with("data.")).then(|| "data".to_owned()),
                "{key}"
            );
        }
    }

    fn difference(a: &str, b: &str) -> Option<Difference> {
        first_difference(
            &a.parse().unwrap(),
            &b.parse().unwrap(),
            &["device", "train.workers"],
        )
    }

    #[test]
    fn the_differing_key_is_found_at_any_depth() {
        let a = "seed = 1\n[train]\nepochs = 3\n[train.ema]\ndecay = 0.9";
        assert_eq!(difference(a, a), None);
        let found = difference(a, &a.replace("0.9", "0.99")).unwrap();
        assert_eq!(found.key, "train.ema.decay");
        assert_eq!(
            (found.first.as_str(), found.second.as_str()),
            ("0.9", "0.99")
        );
        let found = difference(a, "seed = 1\n[train]\nepochs = 3").unwrap();
        assert_eq!(
            (found.key.as_str(), found.second.as_str()),
            ("train.ema", "unset")
        );
    }

    #[test]
    fn what_changes_no_result_is_left_out() {
        let (a, b) = (
            "device = 'cpu'\n[train]\nworkers = 1",
            "[train]\nworkers = 2",
        );
        assert_eq!(difference(a, b), None);
    }
}
