//! What a recipe says of a backbone: its name, or a table of name and options.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use offramp_core::StageInfo;
use offramp_graph::{Builder, Graph, GraphError};
use offramp_nn::{GraphBackbone, Init, stages};
use serde::de::{Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AnyBackbone, BackboneError, BackboneFamily, InBurn, registry};

/// Settings of a backbone; `"resnet20"` or `{ name = "resnet20", shortcut = "conv" }`.
#[derive(Clone, Debug)]
pub struct BackboneConfig(Arc<dyn Settings>);

/// The side of the images that graphs are written for; every reduction divides it. Training and
/// evaluation take images of any size, and [`Graph::resized`] makes a graph for another.
const SIDE: usize = 256;

/// A [`BackboneFamily`] whose type is not known.
trait Settings: Any + Debug + Send + Sync {
    fn name(&self) -> &str;
    fn options(&self) -> serde_json::Result<Value>;
    fn with_options(&self, options: Value) -> Result<BackboneConfig, String>;
    fn write(&self, b: &mut Builder, image: offramp_graph::Value) -> Result<(), GraphError>;
    fn in_burn(&self) -> Option<InBurn>;
    fn classifier_name(&self) -> &'static str;
}

impl<F: BackboneFamily> Settings for F {
    fn name(&self) -> &str {
        BackboneFamily::name(self)
    }

    fn options(&self) -> serde_json::Result<Value> {
        serde_json::to_value(BackboneFamily::options(self))
    }

    fn with_options(&self, options: Value) -> Result<BackboneConfig, String> {
        let options = serde_json::from_value(options).map_err(|error| error.to_string())?;
        let family = BackboneFamily::with_options(self.clone(), options)?;
        Ok(family.into())
    }

    fn write(&self, b: &mut Builder, image: offramp_graph::Value) -> Result<(), GraphError> {
        BackboneFamily::write(self, b, image)
    }

    fn in_burn(&self) -> Option<InBurn> {
        BackboneFamily::in_burn(self)
    }

    fn classifier_name(&self) -> &'static str {
        BackboneFamily::classifier_name(self)
    }
}

impl<F: BackboneFamily> From<F> for BackboneConfig {
    fn from(family: F) -> Self {
        Self(Arc::new(family))
    }
}

/// Equal names and options.
impl PartialEq for BackboneConfig {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.options().ok() == other.options().ok()
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

    /// The name in the registry.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The settings as those of a family, if they are.
    pub fn family<F: BackboneFamily>(&self) -> Option<&F> {
        let settings: &dyn Any = &*self.0;
        settings.downcast_ref()
    }

    /// What PyTorch's twin of the backbone calls its classifier, without `.weight` and `.bias`.
    pub fn classifier_name(&self) -> &'static str {
        self.0.classifier_name()
    }

    /// The same backbone with options from a table.
    ///
    /// # Errors
    /// [`BackboneError::Option`] when an option is unknown, of the wrong kind or out of range,
    /// [`BackboneError::Graph`] when no network can be written with them.
    pub fn with_options(self, options: Map<String, Value>) -> Result<Self, BackboneError> {
        let config = self.0.with_options(Value::Object(options));
        let config = config.map_err(|message| BackboneError::Option {
            name: self.name().to_owned(),
            message,
        })?;
        config.graph()?;
        Ok(config)
    }

    /// All options with their values.
    fn options(&self) -> Result<Map<String, Value>, String> {
        match self.0.options().map_err(|error| error.to_string())? {
            Value::Object(options) => Ok(options),
            other => Err(format!("options are no table: {other}")),
        }
    }

    /// The whole network as a graph without numbers; `None` for one that is written in burn.
    ///
    /// # Errors
    /// [`BackboneError::Graph`] when the family writes operations that do not fit together, which none
    /// of this crate does.
    pub fn graph(&self) -> Result<Option<Graph>, BackboneError> {
        if self.0.in_burn().is_some() {
            return Ok(None);
        }
        let mut b = Builder::new();
        let image = b.input("image", &[3, SIDE, SIDE]);
        match self.0.write(&mut b, image) {
            Ok(()) => {
                let graph = b.finish_whole([]);
                if graph.stages().is_empty() {
                    return Err(BackboneError::NoStages {
                        name: self.name().to_owned(),
                    });
                }
                Ok(Some(graph))
            }
            Err(source) => Err(BackboneError::Graph {
                name: self.name().to_owned(),
                source,
            }),
        }
    }

    /// The stages of the backbone.
    ///
    /// # Panics
    /// When the family writes operations that do not fit together.
    pub fn stages(&self) -> Vec<StageInfo> {
        match self.0.in_burn() {
            Some(in_burn) => in_burn.stages,
            None => {
                let graph = self.graph().unwrap_or_else(|error| panic!("{error}"));
                graph.as_ref().map(stages).unwrap_or_default()
            }
        }
    }

    /// Builds the backbone with fresh parameters.
    ///
    /// # Panics
    /// As [`stages`](Self::stages).
    pub fn init(&self, init: &mut Init) -> AnyBackbone {
        self.init_stages(0..self.stages().len(), init)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Builds the stages of the given numbers alone, with fresh parameters under the names that they
    /// have in the whole. A piece that ends within a block holds all of that block. Stages of the piece
    /// are numbered from 0.
    ///
    /// # Errors
    /// [`BackboneError::Piece`] when the piece would need more than the map of the stage before,
    /// [`BackboneError::Whole`] for a part of a backbone that is written in burn,
    /// [`BackboneError::Graph`] as [`graph`](Self::graph).
    ///
    /// # Panics
    /// When there are no such stages.
    pub fn init_stages(
        &self,
        range: Range<usize>,
        init: &mut Init,
    ) -> Result<AnyBackbone, BackboneError> {
        let name = || self.name().to_owned();
        if let Some(in_burn) = self.0.in_burn() {
            return if range == (0..in_burn.stages.len()) {
                Ok(AnyBackbone::Burn((in_burn.init)(init)))
            } else {
                Err(BackboneError::Whole { name: name() })
            };
        }
        let graph = self.graph()?.unwrap_or_default();
        let infos = stages(&graph)[range.clone()].to_vec();
        let piece = graph.piece(range).map_err(|stage| BackboneError::Piece {
            name: name(),
            stage,
        })?;
        let backbone = GraphBackbone::new(piece, infos, self.classifier_name(), init);
        Ok(AnyBackbone::Graph(backbone))
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
        table.extend(self.options().map_err(S::Error::custom)?);
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
    use crate::resnet::{ResNet, ShortcutKind};
    use serde_json::json;

    #[test]
    fn a_name_or_a_table() {
        let named: BackboneConfig = serde_json::from_value(json!("resnet20")).unwrap();
        assert_eq!(named.name(), "resnet20");
        let table = json!({"name": "resnet20", "shortcut": "conv"});
        let config: BackboneConfig = serde_json::from_value(table).unwrap();
        let family = config.family::<ResNet>().expect("a residual network");
        let options = BackboneFamily::options(family);
        assert_eq!(options.shortcut, ShortcutKind::Conv);
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
