//! The table of all distillers: one line each, and those of other crates.

use std::any::Any;
use std::fmt::Debug;

use burn::module::Module;
use offramp_core::registry::{AnyKind, Entry, Kind, Parse, Table, parse, unknown_variant};
use offramp_heads::MultiExitNet;
use offramp_nn::Init;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    AtConfig, Atsc, AtscConfig, AttentionTransfer, CaMkd, CaMkdConfig, Crd, CrdConfig,
    DistillBatch, DistillInfo, Dkd, DkdConfig, Dml, DmlConfig, Ebkd, EbkdConfig, FitNet,
    FitNetConfig, Kd, KdConfig, PktConfig, ProbabilisticTransfer, Rkd, RkdConfig, SemCkd,
    SemCkdConfig, SimKd, SimKdConfig, SimilarityPreserving, SpConfig, Srrl, SrrlConfig, Vid,
    VidConfig,
};
use crate::{LossTerms, MethodError};

/// Turns the outputs of one exit and its teachers into loss terms.
pub trait Distiller {
    /// The terms of a batch: one without a name ([`LossTerms::single`]), or several, each with a name.
    fn losses(&self, batch: &DistillBatch) -> LossTerms;

    /// Called after the optimiser's step, with the batch that the losses were computed from. Where it
    /// was computed in parts, it is the whole batch, without maps.
    fn after_step(&mut self, _batch: &DistillBatch) {}

    /// Copies what teacher and student share into the student's exit `exit`. Called before the first
    /// step, and after each.
    fn share(&self, _exit: usize, student: MultiExitNet) -> MultiExitNet {
        student
    }
}

offramp_core::boxed! {
    /// A distiller of another crate, behind a pointer. It is a burn module like any other.
    BoxedDistiller(DistillerObject: Distiller)
}

/// The settings of a distiller of another crate, beside [`Kind`]; see [`DistillerConfig::register`].
pub trait DistillerKind: Any + Debug + Send + Sync {
    /// How many teachers an instance takes.
    fn teachers(&self) -> TeacherCount {
        TeacherCount::One
    }

    /// What it uses of each teacher.
    fn uses(&self) -> Uses {
        Uses::Logits
    }

    /// Sets a distiller up for one exit. Parameters of its own are made by `init`.
    ///
    /// # Errors
    /// When a setting is out of range, or student or teacher lack what the distiller needs, such as
    /// [`MethodError::Unfit`].
    fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<BoxedDistiller, MethodError>;
}

/// How many teachers one instance of a distiller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeacherCount {
    /// None: it trains networks of its own.
    None,
    /// One; with several teachers there is an instance per teacher, and the mean of their terms counts.
    One,
    /// All teachers of the table, weighted by the distiller.
    All,
}

/// What a distiller uses of a teacher's deepest exit; each variant includes the ones before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uses {
    /// Nothing: it runs teachers of its own.
    #[default]
    Nothing,
    /// The logits.
    Logits,
    /// The exit's map and embedding.
    Exit,
    /// The maps after all stages.
    Stages,
}

/// One line of [`distillers`].
#[derive(Clone, Copy, Debug)]
pub struct DistillerEntry {
    /// The name in a recipe.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// How many teachers an instance takes.
    pub teachers: TeacherCount,
    /// What it uses of each teacher.
    pub uses: Uses,
    /// Its settings with their default values.
    pub config: fn() -> DistillerConfig,
    /// Reads the options of a distiller of another crate.
    parse: Option<Parse<DistillerConfig>>,
}

impl Entry for DistillerEntry {
    fn name(&self) -> &'static str {
        self.name
    }
}

static TABLE: Table<DistillerEntry> = Table::new("distiller", &[OWN]);

/// Every distiller: those of this crate, then those that were
/// [registered](DistillerConfig::register). Help, tables and the tests that run over all of them read
/// this list.
pub fn distillers() -> &'static [DistillerEntry] {
    TABLE.all()
}

/// Generates the enum of the distillers, the enum of their settings, and the table, from one line
/// per distiller: `NAME DOC TEACHERS USES => VARIANT(DISTILLER, SETTINGS)`.
macro_rules! distillers {
    ($($name:literal $doc:literal $teachers:ident $uses:ident => $variant:ident($distiller:ident, $config:ident);)*) => {
        /// Any distiller that a recipe can name.
        #[derive(Module, Debug)]
        #[non_exhaustive]
        #[expect(clippy::large_enum_variant, reason = "a recipe has few")]
        pub enum AnyDistiller {
            $(#[doc = concat!("`", $name, "`: ", $doc)] $variant($distiller),)*
            /// A distiller of another crate.
            Custom(BoxedDistiller),
        }

        /// The `loss` of a `[distill.NAME]` table: a name, or a table of a name and settings.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "name")]
        #[non_exhaustive]
        pub enum DistillerConfig {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                #[serde(rename = $name)]
                $variant($config),
            )*
            /// A distiller of another crate.
            #[serde(untagged)]
            Custom(AnyKind<dyn DistillerKind>),
        }

        /// The settings of the distillers of this crate as a table, which serde reads.
        #[derive(Deserialize)]
        #[serde(tag = "name")]
        enum OwnConfig {
            $(
                #[serde(rename = $name)]
                $variant($config),
            )*
        }

        impl From<OwnConfig> for DistillerConfig {
            fn from(table: OwnConfig) -> Self {
                match table {
                    $(OwnConfig::$variant(config) => Self::$variant(config),)*
                }
            }
        }

        impl DistillerConfig {
            /// Sets a distiller up for one exit. Parameters of its own are made by `init`.
            ///
            /// # Errors
            /// When a setting is out of range, or student or teacher lack what the distiller needs.
            pub fn init(
                &self,
                info: &DistillInfo,
                init: &mut Init,
            ) -> Result<AnyDistiller, MethodError> {
                Ok(match self {
                    $(Self::$variant(config) => AnyDistiller::$variant(config.init(info, init)?),)*
                    Self::Custom(kind) => AnyDistiller::Custom(kind.init(info, init)?),
                })
            }

            /// The name in [`distillers`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Custom(kind) => kind.name(),
                }
            }

            /// How many teachers an instance takes.
            pub fn teachers(&self) -> TeacherCount {
                match self {
                    $(Self::$variant(_) => TeacherCount::$teachers,)*
                    Self::Custom(kind) => kind.teachers(),
                }
            }

            /// What it uses of each teacher.
            pub fn uses(&self) -> Uses {
                match self {
                    $(Self::$variant(_) => Uses::$uses,)*
                    Self::Custom(kind) => kind.uses(),
                }
            }
        }

        impl AnyDistiller {
            fn inner(&self) -> &dyn Distiller {
                match self {
                    $(Self::$variant(distiller) => distiller,)*
                    Self::Custom(distiller) => &**distiller,
                }
            }

            fn inner_mut(&mut self) -> &mut dyn Distiller {
                match self {
                    $(Self::$variant(distiller) => distiller,)*
                    Self::Custom(distiller) => &mut **distiller,
                }
            }
        }

        /// The distillers of this crate.
        const OWN: &[DistillerEntry] = &[$(
            DistillerEntry {
                name: $name,
                doc: $doc,
                teachers: TeacherCount::$teachers,
                uses: Uses::$uses,
                config: || DistillerConfig::$variant($config::default()),
                parse: None,
            },
        )*];
    };
}

distillers! {
    "kd" "the teacher's softened probabilities (Hinton et al.)" One Logits
        => Kd(Kd, KdConfig);
    "dkd" "the teacher's probabilities, labelled class and other classes apart" One Logits
        => Dkd(Dkd, DkdConfig);
    "fitnet" "a stage in the middle, through a trained convolution (FitNets)" One Stages
        => FitNet(FitNet, FitNetConfig);
    "at" "where the teacher's maps are active (attention transfer)" One Stages
        => At(AttentionTransfer, AtConfig);
    "sp" "which images of a batch have similar maps (similarity-preserving)" One Exit
        => Sp(SimilarityPreserving, SpConfig);
    "vid" "the teacher's maps, predicted with a trained variance (VID)" One Stages
        => Vid(Vid, VidConfig);
    "rkd" "distances and angles between the embeddings of a batch (RKD)" One Exit
        => Rkd(Rkd, RkdConfig);
    "pkt" "which images of a batch are neighbours, as probabilities (PKT)" One Exit
        => Pkt(ProbabilisticTransfer, PktConfig);
    "crd" "the teacher's embedding, against those of other images (CRD)" One Exit
        => Crd(Crd, CrdConfig);
    "srrl" "embedding and logits through the teacher's classifier (SRRL)" One Exit
        => Srrl(Srrl, SrrlConfig);
    "semckd" "all stages of the teacher for each of the student, by attention (SemCKD)" One Stages
        => SemCkd(SemCkd, SemCkdConfig);
    "simkd" "the teacher's map, and its classifier reused (Chen et al.)" All Exit
        => SimKd(SimKd, SimKdConfig);
    "atsc" "a teacher that adapts to its student, and a classifier of both (Jang et al.)" All Nothing
        => Atsc(Atsc, AtscConfig);
    "ebkd" "several teachers, weighted by their confidence (Kwon et al.)" All Logits
        => Ebkd(Ebkd, EbkdConfig);
    "ca-mkd" "several teachers, weighted by their cross-entropy with the label (Zhang et al.)" All Exit
        => CaMkd(CaMkd, CaMkdConfig);
    "dml" "networks like the student, trained beside it; all teach each other (Zhang et al.)" None Nothing
        => Dml(Dml, DmlConfig);
}

impl DistillerConfig {
    /// A distiller of another crate with its settings.
    pub fn custom<K: Kind + DistillerKind>(kind: K) -> Self {
        Self::Custom(AnyKind::new(kind, |kind| kind))
    }

    /// Adds a distiller of another crate: recipes and help texts know it from then on. A registered
    /// distiller of the same name is replaced.
    ///
    /// # Errors
    /// When this crate has a distiller of that name.
    pub fn register<K: Kind + DistillerKind>() -> Result<(), String> {
        let kind = K::default();
        TABLE.register(DistillerEntry {
            name: K::NAME,
            doc: K::DOC,
            teachers: kind.teachers(),
            uses: kind.uses(),
            config: || Self::custom(K::default()),
            parse: Some(|options| parse::<K>("distiller", options).map(Self::custom)),
        })
    }

    fn read(table: Value) -> Result<Self, String> {
        if let Value::Object(mut options) = table.clone()
            && let Some(Value::String(name)) = options.remove("name")
        {
            match TABLE.find(&name) {
                Some(DistillerEntry {
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

impl<'de> Deserialize<'de> for DistillerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = match Value::deserialize(deserializer)? {
            Value::String(name) => json!({ "name": name }),
            table => table,
        };
        Self::read(table).map_err(D::Error::custom)
    }
}

impl Distiller for AnyDistiller {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        batch.widened(|batch| self.inner().losses(batch))
    }

    fn after_step(&mut self, batch: &DistillBatch) {
        batch.widened(|batch| self.inner_mut().after_step(batch));
    }

    fn share(&self, exit: usize, student: MultiExitNet) -> MultiExitNet {
        self.inner().share(exit, student)
    }
}
