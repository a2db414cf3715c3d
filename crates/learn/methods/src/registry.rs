//! The table of all methods: one line each.

use std::collections::BTreeMap;

use burn::module::Module;
use offramp_core::ExitOutputs;
use offramp_losses::Targets;
use offramp_nn::Init;
use serde::{Deserialize, Serialize};

use crate::{
    Beed, BeedConfig, Byot, ByotConfig, Dml, DmlConfig, Eed, EedConfig, L2wDen, L2wDenConfig,
    LastExitTeaching, LastExitTeachingConfig, LookAhead, LossTerms, Mate, MateConfig, Method,
    MethodError, Mlcsd, MlcsdConfig, NetworkInfo, Okddip, OkddipConfig, One, OneConfig,
    PhuongLampert, PhuongLampertConfig, Plain, PlainConfig, StepContext,
};

/// One line of the [`registry`].
#[derive(Clone, Copy, Debug)]
pub struct MethodEntry {
    /// The name in a recipe.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Its settings with their default values.
    pub config: fn() -> MethodConfig,
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
        }

        /// The `[method]` table of a recipe: `name`, and the settings of that method.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name")]
        #[non_exhaustive]
        pub enum MethodConfig {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                #[serde(rename = $name)]
                $variant($config),
            )*
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
                })
            }

            /// The name in the [`registry`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }

        impl AnyMethod {
            fn inner(&self) -> &dyn Method {
                match self {
                    $(Self::$variant(method) => method,)*
                }
            }

            fn inner_mut(&mut self) -> &mut dyn Method {
                match self {
                    $(Self::$variant(method) => method,)*
                }
            }
        }

        /// Every method. Help, tables and the tests that run over all methods read this list.
        pub fn registry() -> &'static [MethodEntry] {
            &[$(
                MethodEntry {
                    name: $name,
                    doc: $doc,
                    config: || MethodConfig::$variant($config::default()),
                },
            )*]
        }
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
