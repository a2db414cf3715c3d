//! The table of all methods: one line each, and those of other crates.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_core::registry::{AnyKind, Entry, Kind, Parse, Table, parse, unknown_variant};
use offramp_losses::Targets;
use offramp_nn::Init;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Beed, BeedConfig, Byot, ByotConfig, Dml, DmlConfig, Eed, EedConfig, L2wDen, L2wDenConfig,
    LastExitTeaching, LastExitTeachingConfig, LookAhead, LossTerms, Mate, MateConfig, Method,
    MethodError, Mlcsd, MlcsdConfig, NetworkInfo, Okddip, OkddipConfig, One, OneConfig,
    PhuongLampert, PhuongLampertConfig, Plain, PlainConfig, StepContext,
};

offramp_core::boxed! {
    /// A method of another crate, behind a pointer. It is a burn module like any other.
    BoxedMethod(MethodObject: Method)
}

/// The settings of a method of another crate, beside [`Kind`]; see [`MethodConfig::register`].
pub trait MethodKind: Any + Debug + Send + Sync {
    /// Sets the method up for a network. Parameters of its own are made by `init`.
    ///
    /// # Errors
    /// When a setting is out of range, or the network lacks what the method needs, such as
    /// [`MethodError::Unfit`].
    fn init(&self, net: &NetworkInfo, init: &mut Init) -> Result<BoxedMethod, MethodError>;
}

/// One line of the [`registry`].
#[derive(Clone, Copy, Debug)]
pub struct MethodEntry {
    /// The name in a recipe.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Its settings with their default values.
    pub config: fn() -> MethodConfig,
    /// Reads the options of a method of another crate.
    parse: Option<Parse<MethodConfig>>,
}

impl Entry for MethodEntry {
    fn name(&self) -> &'static str {
        self.name
    }
}

static TABLE: Table<MethodEntry> = Table::new("method", &[OWN]);

/// Every method: those of this crate, then those that were
/// [registered](MethodConfig::register). Help, tables and the tests that run over all methods read this
/// list.
pub fn registry() -> &'static [MethodEntry] {
    TABLE.all()
}

/// Generates the enum of the methods, the enum of their settings, and the table, from one line
/// per method: `NAME DOC => VARIANT(METHOD, SETTINGS)`.
macro_rules! methods {
    ($($name:literal $doc:literal => $variant:ident($method:ident, $config:ident);)*) => {
        /// Any method that a recipe can name.
        #[derive(Module, Debug)]
        #[non_exhaustive]
        #[expect(clippy::large_enum_variant, reason = "a training has one method")]
        pub enum AnyMethod {
            $(#[doc = concat!("`", $name, "`: ", $doc)] $variant($method),)*
            /// A method of another crate.
            Custom(BoxedMethod),
        }

        /// The `[method]` table of a recipe: `name`, and the settings of that method.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "name")]
        #[non_exhaustive]
        pub enum MethodConfig {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                #[serde(rename = $name)]
                $variant($config),
            )*
            /// A method of another crate.
            #[serde(untagged)]
            Custom(AnyKind<dyn MethodKind>),
        }

        /// The settings of the methods of this crate, which serde reads.
        #[derive(Deserialize)]
        #[serde(tag = "name")]
        enum OwnConfig {
            $(
                #[serde(rename = $name)]
                $variant($config),
            )*
        }

        impl From<OwnConfig> for MethodConfig {
            fn from(config: OwnConfig) -> Self {
                match config {
                    $(OwnConfig::$variant(config) => Self::$variant(config),)*
                }
            }
        }

        impl MethodConfig {
            /// Sets the method up for a network. Parameters of its own are made by `init`.
            ///
            /// # Errors
            /// When a setting is out of range, or the network lacks what the method needs.
            pub fn init(
                &self,
                net: &NetworkInfo,
                init: &mut Init,
            ) -> Result<AnyMethod, MethodError> {
                Ok(match self {
                    $(Self::$variant(config) => AnyMethod::$variant(config.init(net, init)?),)*
                    Self::Custom(kind) => AnyMethod::Custom(kind.init(net, init)?),
                })
            }

            /// The name in the [`registry`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Custom(kind) => kind.name(),
                }
            }
        }

        impl AnyMethod {
            fn inner(&self) -> &dyn Method {
                match self {
                    $(Self::$variant(method) => method,)*
                    Self::Custom(method) => &**method,
                }
            }

            fn inner_mut(&mut self) -> &mut dyn Method {
                match self {
                    $(Self::$variant(method) => method,)*
                    Self::Custom(method) => &mut **method,
                }
            }
        }

        /// The methods of this crate.
        const OWN: &[MethodEntry] = &[$(
            MethodEntry {
                name: $name,
                doc: $doc,
                config: || MethodConfig::$variant($config::default()),
                parse: None,
            },
        )*];
    };
}

methods! {
    "plain" "sum of all exits' cross-entropies"
        => Plain(Plain, PlainConfig);
    "l2w-den" "every sample weighted at every exit, by a trained network (L2W-DEN)"
        => L2wDen(L2wDen, L2wDenConfig);
    "last-exit" "the last exit teaches all others"
        => LastExit(LastExitTeaching, LastExitTeachingConfig);
    "phuong-lampert" "the last exit teaches at an annealed temperature, on unlabelled images too"
        => PhuongLampert(PhuongLampert, PhuongLampertConfig);
    "byot" "the last exit teaches logits and features (Be Your Own Teacher)"
        => Byot(Byot, ByotConfig);
    "eed" "the mean of all exits teaches logits and features (exit-ensemble distillation)"
        => Eed(Eed, EedConfig);
    "beed" "an ensemble weighted towards deep exits teaches, shallow exits most"
        => Beed(Beed, BeedConfig);
    "mate" "trained ensembles, one per exit, teach all exits (MATE-R, our reconstruction of MATE)"
        => Mate(Mate, MateConfig);
    "mlcsd" "per-sample ensembles of all exits teach logits and features (MLCSD-Net)"
        => Mlcsd(Mlcsd, MlcsdConfig);
    "dml" "all exits teach each other (deep mutual learning)"
        => Dml(Dml, DmlConfig);
    "one" "a gated ensemble of all exits teaches them, branches of one network (ONE)"
        => One(One, OneConfig);
    "okddip" "peers teach each other by attention, and all of them the last exit (OKDDip)"
        => Okddip(Okddip, OkddipConfig);
}

impl MethodConfig {
    /// A method of another crate with its settings.
    pub fn custom<K: Kind + MethodKind>(kind: K) -> Self {
        Self::Custom(AnyKind::new(kind, |kind| kind))
    }

    /// Adds a method of another crate: recipes and help texts know it from then on. A registered method
    /// of the same name is replaced.
    ///
    /// # Errors
    /// When this crate has a method of that name.
    ///
    /// ```
    /// use burn::module::Module;
    /// use offramp_core::{ExitOutputs, registry::Kind};
    /// use offramp_losses::Targets;
    /// use offramp_methods::*;
    /// use offramp_nn::Init;
    /// use serde::{Deserialize, Serialize};
    ///
    /// /// The settings, and at once the method, which has no parameters.
    /// #[derive(Module, Debug, Default, Serialize, Deserialize)]
    /// #[serde(default, deny_unknown_fields)]
    /// struct Squares {}
    ///
    /// impl Kind for Squares {
    ///     const NAME: &'static str = "squares";
    ///     const DOC: &'static str = "small logits at every exit";
    /// }
    ///
    /// impl MethodKind for Squares {
    ///     fn init(&self, _: &NetworkInfo, _: &mut Init) -> Result<BoxedMethod, MethodError> {
    ///         Ok(BoxedMethod::new(self.clone()))
    ///     }
    /// }
    ///
    /// impl Method for Squares {
    ///     fn losses(&self, outputs: &ExitOutputs, _: &Targets, _: &StepContext) -> LossTerms {
    ///         let mut terms = LossTerms::new();
    ///         for (exit, logits) in outputs.logits().enumerate() {
    ///             terms.push(format!("squares/{exit}"), logits.clone().powf_scalar(2.0).mean(), 1.0);
    ///         }
    ///         terms
    ///     }
    /// }
    ///
    /// MethodConfig::register::<Squares>()?;
    /// let config: MethodConfig = serde_json::from_str(r#"{"name":"squares"}"#)?;
    /// assert_eq!(config, MethodConfig::custom(Squares {}));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register<K: Kind + MethodKind>() -> Result<(), String> {
        TABLE.register(MethodEntry {
            name: K::NAME,
            doc: K::DOC,
            config: || Self::custom(K::default()),
            parse: Some(|options| parse::<K>("method", options).map(Self::custom)),
        })
    }

    /// A method that is none of this crate's, or the error for one that is.
    fn other(table: Value) -> Result<Self, String> {
        if let Value::Object(mut options) = table.clone()
            && let Some(Value::String(name)) = options.remove("name")
        {
            match TABLE.find(&name) {
                Some(MethodEntry {
                    parse: Some(parse), ..
                }) => return parse(options),
                Some(_) => {}
                None => return Err(unknown_variant(&name, &TABLE.names())),
            }
        }
        let own = serde_json::from_value::<OwnConfig>(table);
        own.map(Self::from).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for MethodConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Ours are read as they are: JSON has no infinity and no NaN, which `init` refuses by name.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Read {
            Own(OwnConfig),
            Other(Value),
        }
        match Read::deserialize(deserializer)? {
            Read::Own(config) => Ok(config.into()),
            Read::Other(table) => Self::other(table).map_err(D::Error::custom),
        }
    }
}

impl Default for MethodConfig {
    fn default() -> Self {
        Self::Plain(PlainConfig::default())
    }
}

impl Method for AnyMethod {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        self.inner().losses(&outputs.widened(), targets, context)
    }

    fn looks_ahead(&self, context: &StepContext) -> bool {
        self.inner().looks_ahead(context)
    }

    fn look_ahead(&mut self, look_ahead: &LookAhead) {
        self.inner_mut().look_ahead(look_ahead);
    }

    fn after_step(&mut self, outputs: &ExitOutputs) {
        self.inner_mut().after_step(&outputs.widened());
    }

    fn looks_back_at_stages(&self) -> bool {
        self.inner().looks_back_at_stages()
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        self.inner().scalars()
    }

    fn state(&self) -> BTreeMap<String, f64> {
        self.inner().state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<(), MethodError> {
        self.inner_mut().load_state(state)
    }
}
