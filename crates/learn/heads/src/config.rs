//! The `[model]` table of a recipe, and the network that it stands for.

use offramp_backbones::{BackboneConfig, BackboneError};
use offramp_core::{Backbone, ExitHead, MapShape};
use offramp_graph::GraphError;
use offramp_nn::Init;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{AnyHead, CascadeConfig, HeadConfig, HeadError, HeadPlace, MultiExitNet};

/// A multi-exit network: which backbone, which heads, where.
///
/// ```toml
/// [model]
/// backbone = { name = "resnet20", shortcut = "conv" }   # or just "resnet20"
/// head = "sepconv"                                       # or { name = "sepconv", style = "byot" }
/// exits = [0, 1, 2]                                      # stages; left out: after every stage
/// cascade = "boost"                                      # left out: every exit answers by itself
/// ```
///
/// With `head = "branch"` several exits may follow one stage, `exits = [1, 1, 1]`, and none need
/// follow the last one: each goes there by itself, and the backbone ends with the last stage that
/// is named.
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
    /// After the stages of these numbers, counted from 0: rising, the last stage among them. Of
    /// branches, not falling, and the last stage may be missing.
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
        "exits = {exits:?} do not fit {backbone}: its stages are 0 to {last}, the list {}",
        rule(*last, *branches)
    )]
    Exits {
        /// What was asked for.
        exits: Vec<usize>,
        /// The backbone's name.
        backbone: String,
        /// Number of its last stage.
        last: usize,
        /// Whether the exits are branches.
        branches: bool,
    },
    /// A branch that would begin within a block.
    #[error(
        "model.head: {0}; let the exit follow a whole block (of a ResNet: taps = \"layers\"), or take \
         another head"
    )]
    Branch(BackboneError),
    /// A backbone that cannot be built.
    #[error(transparent)]
    Backbone(BackboneError),
    /// A head that does not fit its stage.
    #[error("model.head = {head:?}: {source}")]
    Head {
        /// The kind of head.
        head: &'static str,
        /// What does not fit.
        source: GraphError,
    },
    /// A link that does not fit its exit.
    #[error("model.cascade = {cascade:?}: {source}")]
    Cascade {
        /// The kind of cascade.
        cascade: &'static str,
        /// What does not fit.
        source: GraphError,
    },
    /// A backbone that does not take the images.
    #[error("{backbone} takes no images of {channels} x {height} x {width}: {source}")]
    Images {
        /// The backbone's name.
        backbone: String,
        /// Channels of the image.
        channels: usize,
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// What does not fit.
        source: GraphError,
    },
    /// An exit that is not there.
    #[error("there is no exit {exit}; this network has {exits}, counted from 0")]
    NoExit {
        /// What was asked for.
        exit: usize,
        /// Number of exits.
        exits: usize,
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

fn rule(last: usize, branches: bool) -> String {
    if branches {
        format!("must name one at least, not fall, and end with {last} or before")
    } else {
        format!("must increase and end with {last}")
    }
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
                known: if teachers.is_empty() {
                    "none".to_owned()
                } else {
                    teachers
                        .iter()
                        .map(|(name, _)| *name)
                        .collect::<Vec<_>>()
                        .join(", ")
                },
            })
        };
        let named = self.head.teachers().iter().map(find);
        let maps: Vec<MapShape> = named.collect::<Result<_, _>>()?;
        let head = self.head.for_teachers(&maps);
        Ok(Self {
            head: head.unwrap_or_else(|| self.head.clone()),
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
        let exits = self.exit_stages()?;
        self.build(exits, classes, image, init)
    }

    /// Builds exit `exit` alone with fresh parameters: the stages on the way to it and its head.
    ///
    /// # Errors
    /// As [`init`](Self::init), and when there is no such exit.
    pub fn init_exit(
        &self,
        exit: usize,
        classes: usize,
        image: MapShape,
        init: &mut Init,
    ) -> Result<MultiExitNet, NetError> {
        let exits = self.exit_stages()?;
        match exits.get(exit) {
            Some(&stage) => self.build(vec![stage], classes, image, init),
            None => Err(NetError::NoExit {
                exit,
                exits: exits.len(),
            }),
        }
    }

    /// The stage of every exit.
    fn exit_stages(&self) -> Result<Vec<usize>, NetError> {
        let last = self.backbone.stages().len() - 1;
        let exits = match &self.exits {
            ExitPlacement::EveryStage => return Ok((0..=last).collect()),
            ExitPlacement::Stages(exits) => exits,
        };
        let branches = self.head.is_branch();
        let fits = if branches {
            exits.is_sorted() && exits.last().is_some_and(|stage| *stage <= last)
        } else {
            exits.is_sorted_by(|a, b| a < b) && exits.last() == Some(&last)
        };
        if fits {
            Ok(exits.clone())
        } else {
            Err(NetError::Exits {
                exits: exits.clone(),
                backbone: self.backbone.name().to_owned(),
                last,
                branches,
            })
        }
    }

    /// The network whose exits follow the given stages; the backbone ends with the last of them.
    fn build(
        &self,
        exits: Vec<usize>,
        classes: usize,
        image: MapShape,
        init: &mut Init,
    ) -> Result<MultiExitNet, NetError> {
        if classes < 2 {
            return Err(NetError::Classes { classes });
        }
        // Names must have become numbers by now.
        self.resolved(&[])?;
        let graph = self.backbone.graph().map_err(NetError::Backbone)?;
        let stages = self.backbone.stages();
        let reduction = stages.last().map_or(1, |stage| stage.reduction);
        if image.height.min(image.width) < reduction {
            return Err(NetError::Image {
                height: image.height,
                width: image.width,
                backbone: self.backbone.name().to_owned(),
                reduction,
            });
        }
        if let Some(graph) = &graph {
            let sized = graph.resized(&[&[image.channels, image.height, image.width]]);
            sized.map_err(|source| NetError::Images {
                backbone: self.backbone.name().to_owned(),
                channels: image.channels,
                height: image.height,
                width: image.width,
                source,
            })?;
        }
        let end = exits.last().map_or(0, |stage| stage + 1);
        let backbone = self.backbone.init_stages(0..end, init);
        let backbone = backbone.map_err(NetError::Backbone)?;
        let maps = backbone.costs(image);
        let head = |&stage: &usize| {
            let place = HeadPlace {
                stages: &stages,
                stage,
                classes,
                backbone: graph.as_ref(),
                backbone_name: self.backbone.name(),
            };
            let (_, map) = maps[stage];
            self.head
                .init(map, &place, init)
                .map_err(|error| match error {
                    HeadError::Backbone(error) => NetError::Branch(error),
                    HeadError::Graph(source) => NetError::Head {
                        head: self.head.name(),
                        source,
                    },
                })
        };
        let heads: Vec<AnyHead> = exits.iter().map(head).collect::<Result<_, _>>()?;
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
            json!({"head": "branch", "exits": [1, 1, 1]}),
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
    fn one_exit_alone_is_cut_after_its_stage() {
        for taps in ["layers", "inner"] {
            let config: NetConfig = serde_json::from_value(json!({
                "backbone": {"name": "resnet8", "taps": taps}, "head": "sepconv"
            }))
            .unwrap();
            let device = default_device().unwrap();
            let whole = config.init(10, IMAGE, &mut Init::new(0, &device)).unwrap();
            for exit in 0..whole.num_exits() {
                let alone = config.init_exit(exit, 10, IMAGE, &mut Init::new(1, &device));
                let alone = alone.unwrap();
                assert_eq!(alone.exit_stages(), [whole.exit_stages()[exit]]);
                assert_eq!(alone.embedding_dims()[0], whole.embedding_dims()[exit]);
                let deeper = format!("layer{}.", exit / (whole.num_exits() / 3) + 2);
                let names = offramp_core::params::collect(&alone);
                assert!(
                    !names.keys().any(|name| name.contains(&deeper)),
                    "{taps} {exit}"
                );
                let image = burn::tensor::Tensor::zeros([1, 3, 32, 32], &device);
                assert_eq!(alone.forward(image).exits[0].logits.dims(), [1, 10]);
            }
            let beyond = config.init_exit(9, 10, IMAGE, &mut Init::new(1, &device));
            let error = beyond.unwrap_err().to_string();
            assert!(error.contains("no exit 9"), "{error}");
        }
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
