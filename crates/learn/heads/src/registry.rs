//! The table of heads, and what a recipe says of one: its name, or a table of name and options.

use offramp_backbones::{BackboneConfig, BackboneError};
use offramp_nn::Init;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::AnyHead;
use crate::heads::{
    BottleneckHead, BranchHead, ConvHead, LinearHead, ProjectorConfig, ProjectorHead, SepConvHead,
    SepConvStyle,
};

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
        width: ConvWidth,
    },
    /// [`ProjectorHead`].
    Projector(ProjectorConfig),
    /// [`BranchHead`].
    Branch {},
}

/// Channels of [`ConvHead`]'s convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConvWidth {
    /// `"map"`: as many as the map has, as in MSDNet for ImageNet.
    Map,
    /// So many; MSDNet for CIFAR has 128.
    #[serde(untagged)]
    Channels(usize),
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
        config: || HeadConfig::Conv {
            width: ConvWidth::Channels(128),
        },
    },
    HeadEntry {
        name: "projector",
        doc: "into a teacher's space and through its classifier (SimKD, ATSC)",
        options: &["teacher", "width", "size", "factor"],
        config: || HeadConfig::Projector(ProjectorConfig::default()),
    },
    HeadEntry {
        name: "branch",
        doc: "the rest of the backbone with its own weights, and a linear layer (ONE, OKDDip)",
        options: &[],
        config: || HeadConfig::Branch {},
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
                if *width == ConvWidth::Channels(0) {
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
            Self::Linear {} | Self::Bottleneck {} | Self::Branch {} => {}
        }
        Ok(config)
    }

    /// The teachers into whose space the heads lead.
    pub(crate) fn teachers(&self) -> &[String] {
        match self {
            Self::Projector(config) => &config.teacher,
            _ => &[],
        }
    }

    /// Whether several exits may follow one stage: each computes something else of its map.
    pub(crate) fn is_branch(&self) -> bool {
        matches!(self, Self::Branch {})
    }

    /// A head for stage `stage` of `backbone`.
    ///
    /// # Errors
    /// When a branch would begin within a block.
    pub(crate) fn init(
        &self,
        backbone: &BackboneConfig,
        stage: usize,
        classes: usize,
        init: &mut Init,
    ) -> Result<AnyHead, BackboneError> {
        let stages = backbone.stages();
        let here = &stages[stage];
        let last = &stages[stages.len() - 1];
        Ok(match self {
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
                let width = match width {
                    ConvWidth::Channels(width) => *width,
                    ConvWidth::Map => here.channels,
                };
                AnyHead::Conv(ConvHead::new(here.channels, width, classes, init))
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
            Self::Branch {} => {
                let rest = backbone.init_stages(stage + 1..stages.len(), init)?;
                AnyHead::Branch(BranchHead::new(rest, last.channels, classes, init))
            }
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_are_named() {
        let error = |head| {
            serde_json::from_value::<HeadConfig>(head)
                .unwrap_err()
                .to_string()
        };
        assert!(error(json!("sepcov")).contains("did you mean \"sepconv\""));
        assert!(error(json!({"name": "linear", "width": 3})).contains("width"));
        assert!(error(json!({"name": "conv", "width": "x"})).contains("width"));
        let map = serde_json::from_value(json!({"name": "conv", "width": "map"})).unwrap();
        let width = ConvWidth::Map;
        assert_eq!(HeadConfig::Conv { width }, map);
        let projector = |option: &str, value: Value| {
            error(json!({"name": "projector", "teacher": "a", option: value}))
        };
        assert!(projector("width", json!(64)).contains("width and size"));
        assert!(projector("factor", json!(0)).contains("factor"));
        assert!(projector("factor", json!("x")).contains("projector"));
    }
}
