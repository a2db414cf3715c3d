//! The first difference between two trees of settings.

use toml::{Table, Value};

/// A key whose value is not the same in both.
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
pub(crate) fn first_difference(a: &Table, b: &Table, ignored: &[&str]) -> Option<Difference> {
    below(&[], a, b, ignored)
}

fn below(path: &[String], a: &Table, b: &Table, ignored: &[&str]) -> Option<Difference> {
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let dotted = super::strict::dotted(path, key);
        if ignored.contains(&dotted.as_str()) {
            return None;
        }
        match (a.get(key), b.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                let path: Vec<String> = path.iter().cloned().chain([key.clone()]).collect();
                below(&path, a, b, ignored)
            }
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
