//! Every kind of cascade: one line each.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::Cost;
use offramp_graph::{Builder, GraphError};
use offramp_nn::Init;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Boost, BoostConfig, Isc, IscConfig, Link, Place, Ztw, ZtwConfig};

/// One line of the table of cascades.
#[derive(Clone, Copy, Debug)]
pub struct CascadeEntry {
    /// What a recipe calls it.
    pub name: &'static str,
    /// One line on what it is.
    pub doc: &'static str,
    /// Its settings with default options.
    pub config: fn() -> CascadeConfig,
}

/// Generates the enum of the links, the enum of their settings, and the table, from one line a
/// kind: `NAME DOC => VARIANT(SETTINGS)`.
macro_rules! cascades {
    ($($name:literal $doc:literal => $variant:ident($config:ident);)*) => {
        /// A link of any kind.
        #[derive(Module, Debug)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a network has a handful of links")]
        pub enum AnyLink {
            $(#[doc = concat!("`", $name, "`: ", $doc)] $variant($variant),)*
        }

        impl AnyLink {
            fn inner(&self) -> &dyn Link {
                match self {
                    $(Self::$variant(link) => link,)*
                }
            }
        }

        /// A kind of cascade with its options: a name or a table with a name in a recipe.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        #[serde(tag = "name")]
        #[non_exhaustive]
        pub enum CascadeConfig {
            /// Every exit answers by itself.
            #[default]
            #[serde(rename = "none")]
            None,
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                #[serde(rename = $name)]
                $variant($config),
            )*
        }

        impl CascadeConfig {
            /// The name in the table.
            pub fn name(&self) -> &'static str {
                match self {
                    Self::None => "none",
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// Settings from a name of the table and options.
            pub(super) fn from_options(
                name: &str,
                options: Map<String, Value>,
            ) -> Result<Self, String> {
                let options = Value::Object(options);
                match name {
                    $($name => {
                        let config: $config =
                            serde_json::from_value(options).map_err(|error| error.to_string())?;
                        match config.problem() {
                            Some(problem) => Err(problem),
                            None => Ok(Self::$variant(config)),
                        }
                    })*
                    _ => Ok(Self::None),
                }
            }

            /// The link into an exit, if it has one.
            pub(crate) fn link(&self, place: Place, init: &mut Init) -> Option<AnyLink> {
                match self {
                    Self::None => None,
                    $(Self::$variant(config) => config.link(place, init).map(AnyLink::$variant),)*
                }
            }
        }

        static REGISTRY: &[CascadeEntry] = &[
            CascadeEntry {
                name: "none",
                doc: "every exit answers by itself",
                config: || CascadeConfig::None,
            },
            $(CascadeEntry {
                name: $name,
                doc: $doc,
                config: || CascadeConfig::$variant($config::default()),
            },)*
        ];
    };
}

cascades! {
    "boost" "every exit adds to the earlier ones' sum, which it cannot change (BoostNet)"
        => Boost(BoostConfig);
    "ztw" "a linear layer of the previous logits, which learn nothing from it (Zero-Time-Waste)"
        => Ztw(ZtwConfig);
    "isc" "the previous logits widened to the embedding's width, learned through (IMTA)"
        => Isc(IscConfig);
}

/// All kinds of cascades.
pub fn cascades() -> &'static [CascadeEntry] {
    REGISTRY
}

impl AnyLink {
    /// What is added to the exit's own logits.
    ///
    /// # Shapes
    /// - `previous`, the logits of the exit before, and output: `[N, classes]`
    pub fn forward(&self, previous: Tensor<2>) -> Tensor<2> {
        self.inner().forward(previous)
    }

    /// Writes the link into a graph, from the logits of the exit before to what is added.
    ///
    /// # Errors
    /// When the shape of an operand does not fit.
    pub fn trace(
        &self,
        b: &mut Builder,
        previous: offramp_graph::Value,
    ) -> Result<offramp_graph::Value, GraphError> {
        self.inner().trace(b, previous)
    }

    /// Cost for one image.
    pub fn cost(&self) -> Cost {
        self.inner().cost()
    }
}
