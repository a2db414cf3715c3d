//! The `[model]` table of a recipe, and the network that it stands for.

use offramp_backbones::BackboneConfig;
use offramp_core::{Backbone, MapShape};
use offramp_nn::Init;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{HeadConfig, MultiExitNet};

/// A multi-exit network: which backbone, which heads, where.
///
/// ```toml
/// [model]
/// backbone = { name = "resnet20", shortcut = "conv" }   # or just "resnet20"
/// head = "sepconv"                                       # or { name = "sepconv", style = "byot" }
/// exits = [0, 1, 2]                                      # stages; left out: after every stage
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetConfig {
    /// The body.
    pub backbone: BackboneConfig,
    /// The kind of all exits.
    pub head: HeadConfig,
    /// Where the exits are.
    pub exits: ExitPlacement,
}

/// The stages that have an exit: `"every"` or a list of numbers in a recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExitPlacement {
    /// After every stage.
    #[default]
    EveryStage,
    /// After the stages of these numbers, counted from 0; the last stage must be among them.
    Stages(Vec<usize>),
}

impl Serialize for ExitPlacement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::EveryStage => serializer.serialize_str("every"),
            Self::Stages(stages) => stages.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ExitPlacement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == "every" {
            return Ok(Self::EveryStage);
        }
        match serde_json::from_value(value.clone()) {
            Ok(stages) => Ok(Self::Stages(stages)),
            Err(_) => Err(D::Error::custom(format!(
                "exits are \"every\" or a list of stages, not {value}"
            ))),
        }
    }
}

/// A network that cannot be built.
#[derive(Debug, Error)]
pub enum NetError {
    /// The exits are not an increasing list of stages that ends with the last one.
    #[error(
        "exits = {exits:?} do not fit {backbone}: its stages are 0 to {last}, the list must \
         increase and end with {last}"
    )]
    Exits {
        /// What was asked for.
        exits: Vec<usize>,
        /// The backbone's name.
        backbone: String,
        /// Number of its last stage.
        last: usize,
    },
    /// Fewer than two classes.
    #[error("a classifier of {classes} classes; at least 2 are needed")]
    Classes {
        /// What was asked for.
        classes: usize,
    },
    /// A head that leads into the space of a teacher that is not there.
    #[error(
        "model.head names the teacher {name:?}; the teachers here are {known}: add a table \
         [teachers.{name}] with run = \"FOLDER\", or give the head width and size instead"
    )]
    Teacher {
        /// The teacher.
        name: String,
        /// What there is.
        known: String,
    },
    /// The image is smaller than the network's reduction.
    #[error(
        "images of {height}x{width} are too small for {backbone}, which reduces them {reduction} \
         times; use larger images or the small stem"
    )]
    Image {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// The backbone's name.
        backbone: String,
        /// Reduction of its last stage.
        reduction: usize,
    },
}

impl NetConfig {
    /// The settings with numbers in the place of teachers' names, from names and the maps that the
    /// teachers' classifiers look at.
    ///
    /// # Errors
    /// [`NetError::Teacher`] for a name that is not among them.
    pub fn resolved(&self, teachers: &[(&str, MapShape)]) -> Result<Self, NetError> {
        let find = |name: &String| {
            let found = teachers.iter().find(|(known, _)| known == name);
            found.map(|(_, map)| *map).ok_or_else(|| NetError::Teacher {
                name: name.clone(),
                known: match teachers.is_empty() {
                    true => "none".to_owned(),
                    false => teachers
                        .iter()
                        .map(|(name, _)| *name)
                        .collect::<Vec<_>>()
                        .join(", "),
                },
            })
        };
        let named = self.head.teachers().iter().map(find);
        let maps: Vec<MapShape> = named.collect::<Result<_, _>>()?;
        let head = match &self.head {
            HeadConfig::Projector(config) if !maps.is_empty() => {
                HeadConfig::Projector(config.resolved(&maps))
            }
            head => head.clone(),
        };
        Ok(Self {
            head,
            ..self.clone()
        })
    }

    /// Builds the network with fresh parameters for images of the given shape.
    ///
    /// # Errors
    /// When the exits do not fit the backbone, the image is too small, or there
    /// are fewer than two classes.
    pub fn init(
        &self,
        classes: usize,
        image: MapShape,
        init: &mut Init,
    ) -> Result<MultiExitNet, NetError> {
        if classes < 2 {
            return Err(NetError::Classes { classes });
        }
        // Names must have become numbers by now.
        self.resolved(&[])?;
        let backbone = self.backbone.init(init);
        let stages = backbone.stages();
        let last = stages.len() - 1;
        let reduction = stages[last].reduction;
        if image.height.min(image.width) < reduction {
            return Err(NetError::Image {
                height: image.height,
                width: image.width,
                backbone: self.backbone.name().to_owned(),
                reduction,
            });
        }
        let exits = match &self.exits {
            ExitPlacement::EveryStage => (0..=last).collect(),
            ExitPlacement::Stages(exits) => exits.clone(),
        };
        if exits.last() != Some(&last) || !exits.is_sorted_by(|a, b| a < b) {
            return Err(NetError::Exits {
                exits,
                backbone: self.backbone.name().to_owned(),
                last,
            });
        }
        let heads = exits
            .iter()
            .map(|&stage| self.head.init(&stages, stage, classes, init))
            .collect();
        Ok(MultiExitNet::new(backbone, heads, exits, classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;
    use serde_json::json;

    const IMAGE: MapShape = MapShape {
        channels: 3,
        height: 32,
        width: 32,
    };

    fn build(config: Value) -> Result<MultiExitNet, NetError> {
        let config: NetConfig = serde_json::from_value(config).unwrap();
        config.init(10, IMAGE, &mut Init::new(0, &default_device().unwrap()))
    }

    #[test]
    fn configurations_survive_json() {
        for config in [
            json!({}),
            json!({"head": "sepconv", "exits": [0, 2]}),
            json!({"head": {"name": "conv", "width": 32}, "exits": "every"}),
            json!({"backbone": {"name": "resnet18", "stem": "imagenet"}, "head": "bottleneck"}),
            json!({"head": "projector"}),
            json!({"head": {"name": "projector", "teacher": "a", "factor": 4}}),
            json!({"head": {"name": "projector", "width": [64, 32], "size": 8}}),
        ] {
            let config: NetConfig = serde_json::from_value(config).unwrap();
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(serde_json::from_value::<NetConfig>(json).unwrap(), config);
        }
    }

    #[test]
    fn exits_must_fit_the_backbone() {
        for exits in [
            json!([]),
            json!([0]),
            json!([0, 3]),
            json!([1, 0, 2]),
            json!([2, 2]),
        ] {
            let error = build(json!({"exits": exits})).unwrap_err().to_string();
            assert!(
                error.contains("resnet20") && error.contains("0 to 2"),
                "{error}"
            );
        }
        assert_eq!(build(json!({"exits": [1, 2]})).unwrap().num_exits(), 2);
    }

    #[test]
    fn a_teacher_becomes_the_shape_of_its_map() {
        let config = json!({"head": {"name": "projector", "teacher": "big"}});
        let error = build(config.clone()).unwrap_err().to_string();
        assert!(
            error.contains("\"big\"") && error.contains("[teachers.big]"),
            "{error}"
        );
        let config: NetConfig = serde_json::from_value(config).unwrap();
        let resolved = config
            .resolved(&[("big", MapShape::new(96, 4, 4))])
            .unwrap();
        let expected = json!({"name": "projector", "width": 96, "size": 4, "factor": 2});
        assert_eq!(serde_json::to_value(&resolved.head).unwrap(), expected);
        let net = resolved.init(10, IMAGE, &mut Init::new(0, &default_device().unwrap()));
        assert_eq!(net.unwrap().embedding_dims(), [96, 96, 96]);
        let error = config
            .resolved(&[("small", IMAGE)])
            .unwrap_err()
            .to_string();
        assert!(error.contains("big") && error.contains("small"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |config| {
            serde_json::from_value::<NetConfig>(config)
                .unwrap_err()
                .to_string()
        };
        assert!(error(json!({"heads": "linear"})).contains("heads"));
        for exits in [json!("all"), json!([-1]), json!(["layer1"]), json!(2)] {
            assert!(error(json!({"exits": exits})).contains("a list of stages"));
        }
    }
}
