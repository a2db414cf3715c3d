//! Settings given on the command line: `train.epochs=3`.

use toml::{Table, Value};

use super::RecipeError;

/// One `key=value`.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    /// As given.
    pub text: String,
    /// The path of the key.
    pub path: Vec<String>,
    value: Value,
}

impl Override {
    /// Parses `key=value`. The value is TOML; what is not TOML is a string, so
    /// that `method.name=mate` needs no quotes.
    pub(crate) fn parse(text: &str) -> Result<Self, RecipeError> {
        let bad = |reason| RecipeError::Override {
            text: text.to_owned(),
            reason,
        };
        let (key, value) = text.split_once('=').ok_or_else(|| bad("it has no `=`"))?;
        let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(bad("a part of the key is empty"));
        }
        let value = value.trim();
        let parsed = format!("value = {value}")
            .parse::<Table>()
            .ok()
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"));
        Ok(Self {
            text: text.to_owned(),
            path,
            value: parsed.unwrap_or_else(|| Value::String(value.to_owned())),
        })
    }

    /// Writes the value into the tree, making the tables on the way.
    pub(crate) fn apply(&self, tree: &mut Table) -> Result<(), RecipeError> {
        let Some((last, parents)) = self.path.split_last() else {
            return Ok(());
        };
        let mut table = tree;
        for key in parents {
            let entry = table
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            // `head = "conv"` is short for `head = { name = "conv" }`.
            if let Value::String(name) = entry {
                *entry = Value::Table(Table::from_iter([("name".to_owned(), name.clone().into())]));
            }
            table = match entry {
                Value::Table(inner) => inner,
                _ => {
                    return Err(RecipeError::Override {
                        text: self.text.clone(),
                        reason: "a part of the key is a value, not a table",
                    });
                }
            };
        }
        // Another variant has other keys: those of the old one must not stay behind.
        let other = table.get("name").is_some_and(|old| *old != self.value);
        if last == "name" && other && !parents.is_empty() {
            table.clear();
        }
        table.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, overrides: &[&str]) -> Table {
        let mut tree: Table = text.parse().unwrap();
        for text in overrides {
            Override::parse(text).unwrap().apply(&mut tree).unwrap();
        }
        tree
    }

    #[test]
    fn values_are_toml_and_bare_words_are_strings() {
        let tree = applied(
            "",
            &[
                "a.int=3",
                "a.float = 1e-3",
                "a.bool=true",
                "a.word=mate",
                "a.list=[1, 2]",
                "a.table={ x = 1 }",
                "a.spaced=two words",
                "a.quoted=\"3\"",
                "a.empty=",
                "a.sum=a=b",
            ],
        );
        let expected: Table = "[a]\nint = 3\nfloat = 1e-3\nbool = true\nword = 'mate'\n\
             list = [1, 2]\ntable = { x = 1 }\nspaced = 'two words'\nquoted = '3'\n\
             empty = ''\nsum = 'a=b'"
            .parse()
            .unwrap();
        assert_eq!(tree, expected);
    }

    #[test]
    fn the_last_one_wins_and_the_rest_of_the_table_stays() {
        let tree = applied("[a]\nx = 1\ny = 2", &["a.x=3", "a.x=4"]);
        assert_eq!(tree, "[a]\nx = 4\ny = 2".parse().unwrap());
    }

    #[test]
    fn another_name_drops_the_keys_of_the_old_variant() {
        let tree = applied(
            "[method]\nname = 'mate'\nlambda = 1",
            &["method.name=plain"],
        );
        assert_eq!(tree, "[method]\nname = 'plain'".parse().unwrap());
        let tree = applied("[method]\nname = 'mate'\nlambda = 1", &["method.name=mate"]);
        assert_eq!(tree, "[method]\nname = 'mate'\nlambda = 1".parse().unwrap());
    }

    #[test]
    fn an_option_turns_a_name_into_a_table() {
        let tree = applied("[model]\nhead = 'conv'", &["model.head.width=3"]);
        assert_eq!(
            tree,
            "[model.head]\nname = 'conv'\nwidth = 3".parse().unwrap()
        );
    }

    #[test]
    fn malformed_ones_are_shown() {
        for text in ["train.epochs", "=3", "a..b=1", ".a=1"] {
            let error = Override::parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        let mut tree: Table = "a = 1".parse().unwrap();
        let error = Override::parse("a.b=1").unwrap().apply(&mut tree);
        assert!(error.unwrap_err().to_string().contains("a.b=1"));
    }
}
