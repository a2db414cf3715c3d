//! The `[model]` table of a recipe, and the network that it stands for.

use offramp_backbones::BackboneConfig;
use offramp_core::{Backbone, ExitHead, MapShape, StageInfo};
use offramp_nn::Init;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::heads::{
    BottleneckHead, ConvHead, LinearHead, ProjectorConfig, ProjectorHead, SepConvHead, SepConvStyle,
};
use crate::{AnyHead, CascadeConfig, MultiExitNet};

/// A multi-exit network: which backbone, which heads, where.
///
/// ```toml
/// [model]
/// backbone = { name = "resnet20", shortcut = "conv" }   # or just "resnet20"
/// head = "sepconv"                                       # or { name = "sepconv", style = "byot" }
/// exits = [0, 1, 2]                                      # stages; left out: after every stage
/// cascade = "boost"                                      # left out: every exit answers by itself
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
    /// What exits make of the answer of the exit before.
    #[serde(skip_serializing_if = "CascadeConfig::is_none")]
    pub cascade: CascadeConfig,
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

/// A kind of exit head with its options.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeadConfig {
    /// [`LinearHead`].
    Linear {},
    /// [`SepConvHead`].
    #[serde(rename = "sepconv")]
    SepConv {
        /// What one link of the chain is.
        #[serde(default)]
        style: SepConvStyle,
    },
    /// [`BottleneckHead`].
    Bottleneck {},
    /// [`ConvHead`].
    Conv {
        /// Channels of its convolutions.
        width: usize,
    },
    /// [`ProjectorHead`].
    Projector(ProjectorConfig),
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::Linear {}
    }
}

/// One line of the table of heads.
#[derive(Clone, Copy, Debug)]
pub struct HeadEntry {
    /// What a recipe calls it.
    pub name: &'static str,
    /// One line on what it is.
    pub doc: &'static str,
    /// Names of its options.
    pub options: &'static [&'static str],
    /// Its settings with default options.
    pub config: fn() -> HeadConfig,
}

static REGISTRY: &[HeadEntry] = &[
    HeadEntry {
        name: "linear",
        doc: "pooling and a linear layer",
        options: &[],
        config: || HeadConfig::Linear {},
    },
    HeadEntry {
        name: "sepconv",
        doc: "separable convolutions down to the last stage's shape (BYOT, SDN, MLCSD)",
        options: &["style"],
        config: || HeadConfig::SepConv {
            style: SepConvStyle::default(),
        },
    },
    HeadEntry {
        name: "bottleneck",
        doc: "1x1, k x k of stride k, 1x1 convolutions to the last stage's shape (BYOT's public port)",
        options: &[],
        config: || HeadConfig::Bottleneck {},
    },
    HeadEntry {
        name: "conv",
        doc: "two 3x3 convolutions of stride 2 (MSDNet)",
        options: &["width"],
        config: || HeadConfig::Conv { width: 128 },
    },
    HeadEntry {
        name: "projector",
        doc: "into a teacher's space and through its classifier (SimKD, ATSC)",
        options: &["teacher", "width", "size", "factor"],
        config: || HeadConfig::Projector(ProjectorConfig::default()),
    },
];

/// All heads.
pub fn registry() -> &'static [HeadEntry] {
    REGISTRY
}

impl HeadConfig {
    /// Settings from a name and a table of options.
    fn from_parts(name: &str, mut options: Map<String, Value>) -> Result<Self, String> {
        let Some(entry) = REGISTRY.iter().find(|entry| entry.name == name) else {
            let names: Vec<_> = REGISTRY.iter().map(|entry| entry.name).collect();
            let nearest = match offramp_core::nearest(name, names.iter().copied()) {
                Some(nearest) => format!(" (did you mean {nearest:?}?)"),
                None => String::new(),
            };
            return Err(format!(
                "no head is called {name:?}{nearest}; there are {}",
                names.join(", ")
            ));
        };
        if let Some(unknown) = options
            .keys()
            .find(|key| !entry.options.contains(&key.as_str()))
        {
            return Err(format!(
                "head {name} has no option {unknown:?}; it has: {}",
                match entry.options.is_empty() {
                    true => "none".into(),
                    false => entry.options.join(", "),
                }
            ));
        }
        let mut config = (entry.config)();
        let wrong =
            |key: &str, error: serde_json::Error| format!("head {name}, option {key}: {error}");
        match &mut config {
            Self::SepConv { style } => {
                if let Some(value) = options.remove("style") {
                    *style =
                        serde_json::from_value(value).map_err(|error| wrong("style", error))?;
                }
            }
            Self::Conv { width } => {
                if let Some(value) = options.remove("width") {
                    *width =
                        serde_json::from_value(value).map_err(|error| wrong("width", error))?;
                }
                if *width == 0 {
                    return Err(format!("head {name}, option width: 0 channels"));
                }
            }
            Self::Projector(config) => {
                *config = serde_json::from_value(Value::Object(options))
                    .map_err(|error| format!("head {name}: {error}"))?;
                if let Some(problem) = config.problem() {
                    return Err(format!("head {name}: {problem}"));
                }
            }
            Self::Linear {} | Self::Bottleneck {} => {}
        }
        Ok(config)
    }

    /// The teachers into whose space the heads lead.
    fn teachers(&self) -> &[String] {
        match self {
            Self::Projector(config) => &config.teacher,
            _ => &[],
        }
    }

    /// A head for stage `stage` of `stages`.
    fn init(&self, stages: &[StageInfo], stage: usize, classes: usize, init: &mut Init) -> AnyHead {
        let here = &stages[stage];
        let last = &stages[stages.len() - 1];
        match self {
            Self::Linear {} => AnyHead::Linear(LinearHead::new(here.channels, classes, init)),
            Self::SepConv { style } => {
                // One link for every halving; stages of one size are one step.
                let mut widths = vec![here.channels];
                for pair in stages[stage..].windows(2) {
                    if pair[1].reduction != pair[0].reduction {
                        widths.push(pair[1].channels);
                    }
                }
                AnyHead::SepConv(SepConvHead::new(&widths, classes, *style, init))
            }
            Self::Bottleneck {} => AnyHead::Bottleneck(BottleneckHead::new(
                here.channels,
                last.channels,
                last.reduction / here.reduction,
                classes,
                init,
            )),
            Self::Conv { width } => {
                AnyHead::Conv(ConvHead::new(here.channels, *width, classes, init))
            }
            Self::Projector(config) => {
                let widths = match config.width.is_empty() {
                    true => vec![last.channels],
                    false => config.width.clone(),
                };
                AnyHead::Projector(ProjectorHead::new(
                    here.channels,
                    &widths,
                    config.size,
                    config.factor,
                    classes,
                    init,
                ))
            }
        }
    }
}

impl<'de> Deserialize<'de> for HeadConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, options) = match Value::deserialize(deserializer)? {
            Value::String(name) => (name, Map::new()),
            Value::Object(mut table) => match table.remove("name") {
                Some(Value::String(name)) => (name, table),
                _ => return Err(D::Error::custom("a table of a head needs a name")),
            },
            other => {
                return Err(D::Error::custom(format!(
                    "a head is a name or a table with a name, not {other}"
                )));
            }
        };
        Self::from_parts(&name, options).map_err(D::Error::custom)
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
    /// A cascade of too few exits.
    #[error(
        "model.cascade = {cascade:?} leads from exit to exit and needs at least {needed} of them; \
         this network has {exits}; add stages to model.exits, or leave model.cascade out"
    )]
    NothingToLink {
        /// The kind of cascade.
        cascade: &'static str,
        /// Number of exits.
        exits: usize,
        /// The fewest exits between which there is a link.
        needed: usize,
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
    /// When the exits do not fit the backbone or the cascade, the image is too small, or there
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
        let heads: Vec<AnyHead> = exits
            .iter()
            .map(|&stage| self.head.init(&stages, stage, classes, init))
            .collect();
        let widths: Vec<usize> = heads.iter().map(ExitHead::embedding_dim).collect();
        let links = self.cascade.links(&widths, classes, init)?;
        Ok(MultiExitNet::new(backbone, heads, exits, classes).with_links(links))
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
            json!({"cascade": {"name": "boost", "decay": 0.25}}),
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
        assert!(error(json!({"head": "sepcov"})).contains("did you mean \"sepconv\""));
        assert!(error(json!({"head": {"name": "linear", "width": 3}})).contains("width"));
        assert!(error(json!({"head": {"name": "conv", "width": "x"}})).contains("width"));
        assert!(error(json!({"heads": "linear"})).contains("heads"));
        let projector = |option: &str, value: Value| {
            error(json!({"head": {"name": "projector", "teacher": "a", option: value}}))
        };
        assert!(projector("width", json!(64)).contains("width and size"));
        assert!(projector("factor", json!(0)).contains("factor"));
        assert!(projector("factor", json!("x")).contains("projector"));
        for exits in [json!("all"), json!([-1]), json!(["layer1"]), json!(2)] {
            assert!(error(json!({"exits": exits})).contains("a list of stages"));
        }
    }
}
