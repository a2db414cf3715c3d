//! What a family of backbones is, and the list of them.

use std::fmt::Debug;
use std::ops::Range;

use offramp_core::{Backbone, StageInfo};
use offramp_nn::Init;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A family of backbones, by its settings.
pub trait BackboneFamily: Clone + PartialEq + Debug {
    /// What a recipe may set.
    type Options: Serialize + DeserializeOwned;

    /// What is built.
    type Net: Backbone;

    /// The name in the registry.
    fn name(&self) -> &str;

    /// The options.
    fn options(&self) -> Self::Options;

    /// Replaces the options.
    ///
    /// # Errors
    /// What is wrong with them, with the value.
    fn with_options(self, options: Self::Options) -> Result<Self, String>;

    /// The stages of the whole network.
    fn stages(&self) -> Vec<StageInfo>;

    /// Builds some stages alone, with fresh parameters under the names that they have in the whole.
    ///
    /// # Errors
    /// The name of the stage before the piece, when the piece would need more than its map.
    fn init_stages(&self, stages: Range<usize>, init: &mut Init) -> Result<Self::Net, String>;
}

/// Makes the enums of all families from one list.
macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident($module:ident::$config:ident)),+ $(,)?) => {
        /// Settings of a backbone; `"resnet20"` or `{ name = "resnet20", shortcut = "conv" }`.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum BackboneConfig {
            $($(#[$doc])* $variant($module::$config)),+
        }

        /// Any backbone of this crate.
        #[derive(Module, Debug)]
        #[non_exhaustive]
        #[expect(clippy::large_enum_variant, reason = "there is one in a network")]
        pub enum AnyBackbone {
            $($(#[$doc])* $variant(<$module::$config as BackboneFamily>::Net)),+
        }

        $(
            impl From<$module::$config> for BackboneConfig {
                fn from(config: $module::$config) -> Self {
                    Self::$variant(config)
                }
            }
        )+

        /// The tables of all families.
        fn entries() -> impl Iterator<Item = BackboneEntry> {
            [$($module::ENTRIES),+].into_iter().flatten().copied()
        }

        impl BackboneConfig {
            /// The name in the registry.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant(config) => BackboneFamily::name(config)),+
                }
            }

            /// The same backbone with options from a table.
            ///
            /// # Errors
            /// [`BackboneError::Option`] when an option is unknown, of the wrong kind or out of range.
            pub fn with_options(self, options: Map<String, Value>) -> Result<Self, BackboneError> {
                let name = self.name().to_owned();
                let options = Value::Object(options);
                let set = match self {
                    $(Self::$variant(config) => serde_json::from_value(options)
                        .map_err(|error| error.to_string())
                        .and_then(|options| BackboneFamily::with_options(config, options))
                        .map(Self::$variant)),+
                };
                set.map_err(|message| BackboneError::Option { name, message })
            }

            /// All options with their values.
            fn options(&self) -> serde_json::Result<Value> {
                match self {
                    $(Self::$variant(config) => {
                        serde_json::to_value(BackboneFamily::options(config))
                    }),+
                }
            }

            /// The stages of the backbone.
            pub fn stages(&self) -> Vec<StageInfo> {
                match self {
                    $(Self::$variant(config) => BackboneFamily::stages(config)),+
                }
            }

            /// Builds the stages of the given numbers alone, with fresh parameters under the names
            /// that they have in the whole. A piece that ends within a block holds all of that
            /// block. Stages of the piece are numbered from 0.
            ///
            /// # Errors
            /// [`BackboneError::Piece`] when the piece would need more than the map of the stage before.
            pub fn init_stages(
                &self,
                stages: Range<usize>,
                init: &mut Init,
            ) -> Result<AnyBackbone, BackboneError> {
                let piece = match self {
                    $(Self::$variant(config) => {
                        config.init_stages(stages, init).map(AnyBackbone::$variant)
                    }),+
                };
                piece.map_err(|stage| BackboneError::Piece {
                    name: self.name().to_owned(),
                    stage,
                })
            }
        }

        impl Backbone for AnyBackbone {
            fn stages(&self) -> Vec<StageInfo> {
                match self {
                    $(Self::$variant(net) => net.stages()),+
                }
            }

            fn blocks(&self, stage: usize) -> usize {
                match self {
                    $(Self::$variant(net) => net.blocks(stage)),+
                }
            }

            fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features {
                match self {
                    $(Self::$variant(net) => net.forward_block(stage, block, x)),+
                }
            }

            fn trace_stage(
                &self,
                stage: usize,
                b: &mut Builder,
                x: FeatureValues,
            ) -> Result<FeatureValues, GraphError> {
                match self {
                    $(Self::$variant(net) => net.trace_stage(stage, b, x)),+
                }
            }

            fn classifier_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(net) => net.classifier_name()),+
                }
            }

            fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
                match self {
                    $(Self::$variant(net) => net.costs(image)),+
                }
            }
        }
    };
}

pub(crate) use families;
