//! What a recipe says of a backbone: its name, or a table of name and options.

use serde::de::{Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{BackboneConfig, registry};

/// A backbone that does not exist or options that it does not have.
#[derive(Debug, Error)]
pub enum BackboneError {
    /// The name is not in the registry.
    #[error(
        "no backbone is called {name:?}{}; `offramp list backbones` shows them all",
        hint(nearest)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
    },
    /// An option is unknown, of the wrong kind or out of range.
    #[error("backbone {name}: {message}")]
    Option {
        /// The backbone.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A piece that would begin in the middle of a block, or where other scales go on beside the map.
    #[error("{name} cannot be continued from the map of stage {stage} alone")]
    Piece {
        /// The backbone.
        name: String,
        /// Name of the stage before the piece.
        stage: String,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!(" (did you mean {name:?}?)"),
        None => String::new(),
    }
}

impl BackboneConfig {
    /// The settings of a registered backbone with default options.
    ///
    /// # Errors
    /// [`BackboneError::Unknown`] with the nearest name.
    pub fn named(name: &str) -> Result<Self, BackboneError> {
        let entries = registry();
        match entries.iter().find(|entry| entry.name == name) {
            Some(entry) => Ok((entry.config)()),
            None => Err(BackboneError::Unknown {
                name: name.to_owned(),
                nearest: offramp_core::nearest(name, entries.iter().map(|entry| entry.name)),
            }),
        }
    }
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::named("resnet20").unwrap_or_else(|error| unreachable!("{error}"))
    }
}

impl Serialize for BackboneConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = Map::new();
        table.insert("name".into(), self.name().into());
        match self.options().map_err(S::Error::custom)? {
            Value::Object(options) => table.extend(options),
            other => return Err(S::Error::custom(format!("options are no table: {other}"))),
        }
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BackboneConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, options) = match Value::deserialize(deserializer)? {
            Value::String(name) => (name, Map::new()),
            Value::Object(mut table) => match table.remove("name") {
                Some(Value::String(name)) => (name, table),
                Some(other) => {
                    return Err(D::Error::custom(format!(
                        "a backbone's name is a text, not {other}"
                    )));
                }
                None => return Err(D::Error::missing_field("name")),
            },
            other => {
                return Err(D::Error::custom(format!(
                    "a backbone is a name or a table with a name, not {other}"
                )));
            }
        };
        Self::named(&name)
            .and_then(|config| config.with_options(options))
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackboneFamily;
    use crate::resnet::ShortcutKind;
    use serde_json::json;

    #[test]
    fn a_name_or_a_table() {
        let named: BackboneConfig = serde_json::from_value(json!("resnet20")).unwrap();
        assert_eq!(named.name(), "resnet20");
        let table = json!({"name": "resnet20", "shortcut": "conv"});
        let BackboneConfig::ResNet(config) = serde_json::from_value(table).unwrap() else {
            panic!("resnet20 is a residual network")
        };
        assert_eq!(
            BackboneFamily::options(&config).shortcut,
            ShortcutKind::Conv
        );
    }

    #[test]
    fn every_entry_survives_json() {
        for entry in registry() {
            let config = (entry.config)();
            assert_eq!(config.name(), entry.name);
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(
                serde_json::from_value::<BackboneConfig>(json).unwrap(),
                config
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        let error = |value| {
            serde_json::from_value::<BackboneConfig>(value)
                .unwrap_err()
                .to_string()
        };
        assert!(error(json!("restnet20")).contains("did you mean \"resnet20\""));
        let unknown = error(json!({"name": "resnet20", "shortcuts": "A"}));
        assert!(
            unknown.contains("shortcuts") && unknown.contains("resnet20"),
            "{unknown}"
        );
        assert!(error(json!(3)).contains('3'));
        let wide = error(json!({"name": "mobilenetv2", "width": 50}));
        assert!(wide.contains("width") && wide.contains("50"), "{wide}");
    }
}
